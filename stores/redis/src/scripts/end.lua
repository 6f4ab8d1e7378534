-- KEYS  record
-- ARGV  1 channel
-- Runs without memory left, and publishes in every case.
local header = redis.call('GETRANGE', KEYS[1], 0, ALIAS - 1)
publish(ARGV[1], 'X', KEYS[1])
if #header < HEADER or header:byte(1) % 64 ~= 1 then return 0 end
if header:byte(2) == 2 then return header:sub(HEADER + 1, HEADER + 34) end
remove(KEYS[1], header:sub(1, HEADER))
return 1
