-- KEYS: hash and entries of each stream. ARGV: random digits; idle life; epoch, offset, tag known and sent of each.
-- Answers epoch, head and its tag of each, or nil where there is no stream and this node has seen none.

local now, heads = now_ms(), {}
for at = 1, #KEYS / 2 do
  local hash, entries = KEYS[at * 2 - 1], KEYS[at * 2]
  local known, sent = seen_at(at * 6 - 3), seen_at(at * 6)
  local stream = load(hash, entries)
  if stream.epoch or known.epoch ~= '' then
    if not stream.epoch or is_set_back(stream, known) or is_set_back(stream, sent) then
      start_again(stream, known, ARGV[1], now)
    end
    keep(stream, now, tonumber(ARGV[2]))
    heads[at] = { stream.epoch, stream.head, stream.tag }
  else
    heads[at] = false
  end
end
return heads
