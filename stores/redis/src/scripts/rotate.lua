-- KEYS  old record, new record
-- ARGV  1 not_after  2 channel  3 target of the alias, 34 bytes  4 grace ms  5 remember ms
--       [6 expected version  7 next version  8 data is encrypted: 0 or 1  9 data]
local now = server_time()
if now > tonumber(ARGV[1]) then return fail('LATE') end
local old, failure = session_header(KEYS[1])
if not old then return failure end
if ARGV[6] and version_of(old) ~= ARGV[6] then return fail('CONFLICT') end
if redis.call('EXISTS', KEYS[2]) == 1 then return fail('TAKEN') end
local format, version, rest = old:sub(1, 1), version_of(old), nil
if ARGV[6] then
  format = string.char(old:byte(1) % 128 + 128 * tonumber(ARGV[8]))
  version = ARGV[7]
  rest = label_of(KEYS[1], old) .. ARGV[9]
else
  rest = redis.call('GETRANGE', KEYS[1], HEADER, -1)
end
local new = format .. old:sub(2, 4) .. version .. old:sub(9, 32) .. struct.pack('<I8', now) .. old:sub(41)
if not put(KEYS[2], new, rest, now) then return fail('GONE') end
put_alias(KEYS[1], old, ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5]), now)
local index = index_of(KEYS[1], old)
if index then
  local signed_in = redis.call('ZSCORE', index, id_of(KEYS[1]))
  redis.call('ZREM', index, id_of(KEYS[1]))
  redis.call('ZADD', index, signed_in or now, id_of(KEYS[2]))
  keep_index(index, end_of(old) - now)
end
publish(ARGV[2], 'R', KEYS[1], id_of(KEYS[2]))
return { now, version }
