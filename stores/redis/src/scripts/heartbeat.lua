-- KEYS  meta
-- ARGV  1 proposed epoch  2 proposed user key  3… fingerprints of keys, 8 bytes each
-- Writes, so that a demoted primary, or one without the replicas that it must have, does not answer.
local meta = KEYS[1]
if redis.call('HSETNX', meta, 'epoch', ARGV[1]) == 1 then
  redis.call('HSET', meta, 'format', 1, 'user_key', ARGV[2])
end
local recorded = redis.call('HGET', meta, 'keys') or ''
local known, keys = {}, recorded
for i = 1, #recorded, 8 do known[recorded:sub(i, i + 7)] = true end
for i = 3, #ARGV do
  if not known[ARGV[i]] then keys = keys .. ARGV[i] end
end
-- A ring has few keys; what is beyond the last 64 was retired long ago.
redis.call('HSET', meta, 'keys', keys:sub(-8 * 64), 'heartbeat', server_time())
return {
  redis.call('HGET', meta, 'epoch'), redis.call('HGET', meta, 'user_key'), recorded,
  tonumber(redis.call('HGET', meta, 'ended_before') or 0), server_time(),
}
