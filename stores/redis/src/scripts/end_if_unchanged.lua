-- KEYS  record
-- ARGV  1 channel  2 expected version
local header, failure = session_header(KEYS[1])
if not header then return failure end
if version_of(header) ~= ARGV[2] then return fail('CONFLICT') end
remove(KEYS[1], header)
publish(ARGV[1], 'X', KEYS[1])
return server_time()
