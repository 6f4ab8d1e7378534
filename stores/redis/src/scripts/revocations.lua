-- KEYS  revocations
-- ARGV  1 cursor  2 number
-- A scan returns every member that is there from its first call to its last, whatever is added or
-- removed meanwhile.
local now = server_time()
local scan = redis.call('ZSCAN', KEYS[1], ARGV[1], 'COUNT', ARGV[2])
local members, page = scan[2], {}
for i = 1, #members, 2 do
  local expires_at = tonumber(members[i + 1])
  if expires_at * 1000 > now then
    page[#page + 1] = members[i] .. struct.pack('<I8', expires_at)
  end
end
return { tonumber(scan[1]), table.concat(page) }
