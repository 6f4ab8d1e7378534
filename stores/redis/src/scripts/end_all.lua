-- KEYS  meta
-- ARGV  1 earliest cutoff, or ''  2 channel
local cutoff = ARGV[1] ~= '' and tonumber(ARGV[1]) or server_time()
local recorded = tonumber(redis.call('HGET', KEYS[1], 'ended_before') or 0)
if cutoff < recorded then cutoff = recorded end
redis.call('HSET', KEYS[1], 'ended_before', string.format('%.0f', cutoff))
redis.call('SPUBLISH', ARGV[2], 'A' .. struct.pack('<I8', cutoff))
return cutoff
