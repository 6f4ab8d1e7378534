-- KEYS  record
local record = redis.call('GET', KEYS[1])
if not record then return false end
return { record, redis.call('PTTL', KEYS[1]), server_time() }
