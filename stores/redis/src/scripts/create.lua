-- KEYS  record [, index of the user]
-- ARGV  1 not_after  2 channel  3 first 16 bytes of the header  4 user hash, 16 bytes  5 label  6 data
--       7 created, or ''  8 end of the lifetime, or ''  9 lifetime ms  10 idle timeout ms
--       11 limit, 0 for none  12 policy  13 longest lifetime ms  14 id that does not count, or ''
-- Returns the time, and the id that was ended to keep the limit.
local now = server_time()
if now > tonumber(ARGV[1]) then return fail('LATE') end
if redis.call('EXISTS', KEYS[1]) == 1 then return fail('TAKEN') end

local created = ARGV[7] ~= '' and tonumber(ARGV[7]) or now
local lifetime_end = ARGV[8] ~= '' and tonumber(ARGV[8]) or now + tonumber(ARGV[9])
local left = math.min(tonumber(ARGV[10]), lifetime_end - now)
if left <= 0 then return fail('GONE') end

local index, limit = KEYS[2], tonumber(ARGV[11])
local base, oldest = KEYS[1]:sub(1, -33), nil
if index then
  -- A session may be older: its lifetime may be that of another node, or of an earlier setting.
  local before = now - tonumber(ARGV[13])
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', index, '-inf', before, 'LIMIT', 0, 64)) do
    if redis.call('EXISTS', base .. id) == 0 then redis.call('ZREM', index, id) end
  end
  if limit > 0 and redis.call('ZCARD', index) >= limit then
    local count, oldest_use = 0, nil
    for _, id in ipairs(redis.call('ZRANGE', index, 0, -1)) do
      local ttl = redis.call('PTTL', base .. id)
      if ttl < 0 then
        redis.call('ZREM', index, id)
      elseif id ~= ARGV[14] then
        count = count + 1
        local used = ttl - struct.unpack('<I4', redis.call('GETRANGE', base .. id, 12, 15)) * 100
        if not oldest_use or used < oldest_use then oldest, oldest_use = id, used end
      end
    end
    if count < limit then oldest = nil end
    if oldest and ARGV[12] == 'reject' then return fail('TOOMANY') end
    if oldest then
      redis.call('DEL', base .. oldest)
      redis.call('ZREM', index, oldest)
      redis.call('SPUBLISH', ARGV[2], 'X' .. oldest)
    end
  end
end

local authenticated = index and now or 0
local times = struct.pack('<I8I8I8I8', created, authenticated, now, lifetime_end)
redis.call('SET', KEYS[1], ARGV[3] .. times .. ARGV[4] .. ARGV[5] .. ARGV[6], 'PX', left)
if index then
  redis.call('ZADD', index, now, id_of(KEYS[1]))
  keep_index(index, math.max(tonumber(ARGV[13]), lifetime_end - now))
end
return { now, oldest or false }
