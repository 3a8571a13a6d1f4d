-- What every write of an owner begins with, and what it is told.
-- KEYS  1 record
-- ARGV  1 fence, 2 owner, 3 the owner's node
local GONE, FENCED, SAVED = -1, 0, 1

-- Whose record it is, and the fields asked for.
local function owned(...)
  local held = redis.call('HMGET', KEYS[1], 'f', 'o', ...)
  if not held[1] then return GONE end
  if held[1] == ARGV[1] and held[2] == ARGV[2] then return SAVED, held end
  if tonumber(held[1]) >= tonumber(ARGV[1]) then return FENCED end
  -- The server was set back to before this owner's claim, and nobody has claimed since: it is the owner still.
  redis.call('HSET', KEYS[1], 'f', ARGV[1], 'o', ARGV[2], 'n', ARGV[3])
  return SAVED, held
end

