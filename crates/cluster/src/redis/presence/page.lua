-- The first members of every tenure: who asks leaves out those of tenures that have ended.
-- KEYS  1 seats, 2 tenure and session of each
-- ARGV  1 the session to begin after, or nothing, 2 how many
-- Gives tenure, how many members it has, and session, seat, session, seat ..; the next tenure, and so on.
local pages, from = {}, '-'
while true do
  local first = redis.call('ZRANGEBYLEX', KEYS[2], from, '+', 'LIMIT', 0, 1)[1]
  if not first then return pages end

  local tenure = first:sub(1, 8)
  -- Above every session of this tenure, and below the next one.
  local past = '(' .. tenure .. string.rep('\255', 17)
  local start = (ARGV[1] == '' and '[' or '(') .. tenure .. ARGV[1]
  local members = {}
  for _, held in ipairs(redis.call('ZRANGEBYLEX', KEYS[2], start, past, 'LIMIT', 0, ARGV[2])) do
    local session = held:sub(9)
    local seat = redis.call('HGET', KEYS[1], session)
    if seat then
      table.insert(members, session)
      table.insert(members, seat)
    end
  end
  table.insert(pages, tenure)
  table.insert(pages, redis.call('ZLEXCOUNT', KEYS[2], '[' .. tenure, past))
  table.insert(pages, members)
  from = past
end
