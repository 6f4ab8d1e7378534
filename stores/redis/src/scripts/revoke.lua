-- KEYS  revocations
-- ARGV  1 channel  2… revocations, 32 bytes each: key, issued_before s, expires_at s
-- Runs without memory left: a revocation is a sign-out. The scores are the times of expiry.
local now = server_time()
local seconds = math.floor(now / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', seconds)
for i = 2, #ARGV do
  local expires_at = struct.unpack('<I8', ARGV[i], 25)
  if expires_at > seconds then
    -- GT: a revocation never expires earlier than it did.
    redis.call('ZADD', KEYS[1], 'GT', expires_at, ARGV[i]:sub(1, 24))
    redis.call('SPUBLISH', ARGV[1], 'V' .. ARGV[i])
  end
end
local last = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')[2]
if last then redis.call('PEXPIRE', KEYS[1], tonumber(last) * 1000 - now) end
return now
