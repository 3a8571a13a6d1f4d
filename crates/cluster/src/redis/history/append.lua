-- KEYS: hash, entries, key (if there is one). ARGV: known epoch, offset, tag; random digits; idle life; the new tag; most
-- entries; ttl; most bytes; the key's window, 0 without a key; then fields and values of the entry.
-- Answers epoch, offset, the tag before, whether it is a duplicate, entries dropped for lack of room.

local now = now_ms()
local stream = open(KEYS[1], KEYS[2], seen_at(1), ARGV[4], now)
local life, tag, entries_max, ttl = tonumber(ARGV[5]), ARGV[6], tonumber(ARGV[7]), tonumber(ARGV[8])
local window = tonumber(ARGV[10])

-- A key belongs to the epoch it was used in: with the stream, its keys are forgotten.
if window > 0 then
  local epoch, offset = string.match(redis.call('GET', KEYS[3]) or '', '^(%w+) (%d+)$')
  if epoch == stream.epoch then
    return { epoch, tonumber(offset), stream.tag, 1, 0 }
  end
end

local previous = stream.tag
stream.head, stream.tag = stream.head + 1, tag
if window > 0 then
  redis.call('SET', KEYS[3], stream.epoch .. ' ' .. digits(stream.head), 'PX', window)
end

if ttl < stream.ttl and stream.ends > 0 then
  stream.ends = now
end
stream.ttl = ttl
if entries_max > 0 then
  local id = digits(stream.head) .. '-' .. digits(now)
  redis.call('XADD', stream.entries, 'MAXLEN', '=', entries_max, id, 't', tag, 'b', digits(stream.bytes), 'p', previous,
    unpack(ARGV, 11))
  for at = 12, #ARGV, 2 do
    stream.bytes = stream.bytes + #ARGV[at]
  end
  stream.bytes = stream.bytes + 64
  if stream.ends == 0 then
    stream.ends = now + ttl
  end
  if stream.entries_live < now + ttl then
    stream.entries_live = now + ttl + math.floor(ttl / 8) + 1000
    redis.call('PEXPIREAT', stream.entries, digits(stream.entries_live))
  end
elseif stream.ends > 0 then
  -- What was kept so far would not be followed by what comes now.
  redis.call('DEL', stream.entries)
  stream.gone, stream.ends, stream.entries_live = stream.bytes, 0, 0
end

redis.call('HSET', stream.hash, 'h', digits(stream.head), 't', tag, 'b', digits(stream.bytes), 'o', digits(stream.gone),
  'x', digits(stream.ends), 'r', digits(ttl), 'y', digits(stream.entries_live))
local evicted = trim(stream, now, tonumber(ARGV[9]))
keep(stream, now, math.max(life, window))
return { stream.epoch, stream.head, previous, 0, evicted }
