-- KEYS  records
-- ARGV  1 not_after  2… ms since the last use, one for each record
local now = server_time()
if now > tonumber(ARGV[1]) then return fail('LATE') end
local replies = {}
for i, key in ipairs(KEYS) do
  local header = session_header(key)
  replies[i] = header and 1 or 0
  if header then
    local left = math.min(idle_of(header) - tonumber(ARGV[i + 1]), end_of(header) - now)
    -- GT: a deadline never moves back.
    if left > 0 then redis.call('PEXPIRE', key, left, 'GT') end
  end
end
return replies
