-- KEYS  record
-- ARGV  1 not_after  2 channel  3 expected version, or ''  4 target of the alias, 34 bytes  5 grace ms
--       6 remember ms
local now = server_time()
if now > tonumber(ARGV[1]) then return fail('LATE') end
local header, failure = session_header(KEYS[1])
if not header then return failure end
if ARGV[3] ~= '' and version_of(header) ~= ARGV[3] then return fail('CONFLICT') end
remove(KEYS[1], header)
put_alias(KEYS[1], header, ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6]), now)
publish(ARGV[2], 'X', KEYS[1])
return now
