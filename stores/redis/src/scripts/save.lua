-- KEYS  record
-- ARGV  1 not_after  2 channel  3 expected version  4 next version  5 data is encrypted: 0 or 1  6 data
local now = server_time()
if now > tonumber(ARGV[1]) then return fail('LATE') end
local header, failure = session_header(KEYS[1])
if not header then return failure end
if version_of(header) ~= ARGV[3] then return fail('CONFLICT') end
local format = header:byte(1) % 128 + 128 * tonumber(ARGV[5])
header = string.char(format) .. header:sub(2, 4) .. ARGV[4] .. header:sub(9)
if not put(KEYS[1], header, label_of(KEYS[1], header) .. ARGV[6], now) then return fail('GONE') end
publish(ARGV[2], 'W', KEYS[1], ARGV[4])
return now
