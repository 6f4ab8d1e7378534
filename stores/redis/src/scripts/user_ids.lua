-- KEYS  index of the user
-- ARGV  1 time of the first call, or ''  2 maximum
-- Removes entries without a record, so that a caller that ends what it is given makes progress.
local up_to = tonumber(ARGV[1])
if not up_to then
  -- A clock that was set back hides no sign-in.
  local last = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')
  up_to = math.max(server_time(), tonumber(last[2] or 0))
end
local base, max = KEYS[1]:sub(1, -35) .. 's:', tonumber(ARGV[2])
local ids, more = {}, 0
repeat
  -- A part of the index at a time, behind the entries that were kept.
  local part = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', up_to, 'LIMIT', #ids, max + 1)
  for _, id in ipairs(part) do
    if redis.call('EXISTS', base .. id) == 0 then
      redis.call('ZREM', KEYS[1], id)
    elseif #ids < max then
      ids[#ids + 1] = id
    else
      more = 1
      break
    end
  end
until more == 1 or #part <= max
return { up_to, more, ids }
