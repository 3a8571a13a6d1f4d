-- Leases of nodes. Each has a number of its own, its tenure: what was held under one that ended is known by it.
-- KEYS  1 leases: node -> end in Unix ms (8 bytes), tenure (8 bytes), what the node says of itself
--       2 tenures that have ended, by when
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function ends_at(lease) return (struct.unpack('>I8', lease)) end
local function tenure_of(lease) return lease:sub(9, 16) end

local function finish(node, lease)
  redis.call('HDEL', KEYS[1], node)
  redis.call('ZADD', KEYS[2], string.format('%.0f', now), tenure_of(lease))
  -- More nodes than this do not die before someone looks; what they leave is hidden then, but stays.
  redis.call('ZREMRANGEBYRANK', KEYS[2], 0, -10001)
end

-- Moves leases past their end to those that have ended.
local function expire()
  local leases = redis.call('HGETALL', KEYS[1])
  for at = 1, #leases, 2 do
    if ends_at(leases[at + 1]) <= now then finish(leases[at], leases[at + 1]) end
  end
end

