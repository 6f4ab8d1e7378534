-- KEYS  record
-- ARGV  1 not_after  2 channel  3 expected version  4 next version  5 idle timeout, 4 bytes
--       6 end of the lifetime ms  [7 data is encrypted: 0 or 1  8 data]
local now = server_time()
if now > tonumber(ARGV[1]) then return fail('LATE') end
local header, failure = session_header(KEYS[1])
if not header then return failure end
if version_of(header) ~= ARGV[3] then return fail('CONFLICT') end
local lifetime_end = struct.pack('<I8', tonumber(ARGV[6]))
local rest = ARGV[8] and label_of(KEYS[1], header) .. ARGV[8]
  or redis.call('GETRANGE', KEYS[1], HEADER, -1)
local format = header:byte(1)
if ARGV[8] then format = format % 128 + 128 * tonumber(ARGV[7]) end
header = string.char(format) .. header:sub(2, 4) .. ARGV[4] .. header:sub(9, 12) .. ARGV[5]
  .. header:sub(17, 40) .. lifetime_end .. header:sub(49)
if put(KEYS[1], header, rest, now) then
  local index = index_of(KEYS[1], header)
  if index then keep_index(index, end_of(header) - now) end
  publish(ARGV[2], 'W', KEYS[1], ARGV[4])
else
  remove(KEYS[1], header)
  publish(ARGV[2], 'X', KEYS[1])
end
return now
