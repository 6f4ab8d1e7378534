-- What the scripts share. A key of a record is `P:{xx}:s:<id>`, the index of a user is
-- `P:{xx}:u:<user hash>`. The layout of a record is that of the module `record` of sessile-store.
local HEADER, ALIAS = 64, 106

-- The time of the server in milliseconds.
local function server_time()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- An error whose code is the first word: without the dash the server would put ERR before it.
local function fail(code) return redis.error_reply('-' .. code .. ' by a script of sessile') end

-- The header of a session, or nothing and the error.
local function session_header(key)
  local header = redis.call('GETRANGE', key, 0, HEADER - 1)
  if #header < HEADER then return nil, fail('GONE') end
  if header:byte(1) % 64 ~= 1 then return nil, fail('GONE') end
  if header:byte(2) ~= 1 then return nil, fail('ROTATED') end
  return header
end

local function version_of(header) return header:sub(5, 8) end
local function idle_of(header) return struct.unpack('<I4', header, 13) * 100 end
local function end_of(header) return struct.unpack('<I8', header, 41) end
local function id_of(key) return key:sub(-32) end

local function label_of(key, header)
  local len = header:byte(4)
  return len > 0 and redis.call('GETRANGE', key, HEADER, HEADER + len - 1) or ''
end

-- The index of the user that a header names, or nil.
local function index_of(key, header)
  local user = header:sub(49, 64)
  if user == string.rep('\0', 16) then return nil end
  local digits = {}
  for i = 1, 16 do digits[i] = string.format('%02x', user:byte(i)) end
  return key:sub(1, -35) .. 'u:' .. table.concat(digits)
end

-- Keeps the index of a user for at least as long as a session. An index that lost its last entry lost
-- its time to live.
local function keep_index(index, left)
  if redis.call('PTTL', index) < left then redis.call('PEXPIRE', index, left) end
end

-- Stores a session with the time to live that its header gives. False if that is over.
local function put(key, header, rest, now)
  local left = math.min(idle_of(header), end_of(header) - now)
  if left <= 0 then return false end
  redis.call('SET', key, header .. rest, 'PX', left)
  return true
end

-- Turns a record into an alias. Without a grace period it is over at every time: the clock may be
-- set back.
local function put_alias(key, header, target, grace, remember, now)
  local grace_until = grace > 0 and now + grace or 0
  local alias = header:sub(1, 1) .. '\2' .. header:sub(3, 3) .. '\0' .. header:sub(5)
  redis.call('SET', key, alias .. target .. struct.pack('<I8', grace_until), 'PX', remember)
end

local function remove(key, header)
  redis.call('DEL', key)
  local index = index_of(key, header)
  if index then redis.call('ZREM', index, id_of(key)) end
end

local function publish(channel, kind, key, rest)
  redis.call('SPUBLISH', channel, kind .. id_of(key) .. (rest or ''))
end
