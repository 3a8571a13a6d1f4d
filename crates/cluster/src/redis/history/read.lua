-- KEYS: hash, entries. ARGV: known epoch, offset, tag; random digits; idle life; epoch and offset to read after, epoch ''
-- for none; 1 for the newest first; most entries; most bytes of data in them; epoch, offset,
-- tag of what was sent.
-- Answers epoch, head, the tag at the head, coverage (0 complete, 1 more, 2 lost), entries.

local now = now_ms()
local stream = open(KEYS[1], KEYS[2], seen_at(1), ARGV[4], now, seen_at(11))
keep(stream, now, tonumber(ARGV[5]))
trim(stream, now, math.huge)

local has_after, after = ARGV[6] ~= '', tonumber(ARGV[7])
local is_newest_first, entries_max, bytes_max = ARGV[8] == '1', tonumber(ARGV[9]), tonumber(ARGV[10])
local COMPLETE, MORE, LOST = 0, 1, 2

local function answer(coverage, entries)
  return { stream.epoch, stream.head, stream.tag, coverage, entries }
end

if has_after and (ARGV[6] ~= stream.epoch or after > stream.head) then
  return answer(LOST, {})
end
if has_after and not is_newest_first and after == stream.head then
  return answer(COMPLETE, {})
end
-- Only the head is asked for: no need to look at an entry.
if entries_max == 0 and not has_after then
  return answer(redis.call('XLEN', stream.entries) > 0 and MORE or COMPLETE, {})
end

local function fetch(last, count)
  if is_newest_first then
    local from = last and '(' .. last[1] or has_after and digits(math.max(after - 1, 0)) or '+'
    return redis.call('XREVRANGE', stream.entries, from, '-', 'COUNT', count)
  end
  local from = last and '(' .. last[1] or has_after and digits(after + 1) or '-'
  return redis.call('XRANGE', stream.entries, from, '+', 'COUNT', count)
end

local entries, last, bytes = {}, nil, 0
while true do
  -- One more than there is room for tells whether there are more.
  local count = math.min(entries_max - #entries + 1, 64)
  local batch = fetch(last, count)
  if #entries == 0 and has_after and not is_newest_first and (not batch[1] or offset_and_time(batch[1]) ~= after + 1) then
    return answer(LOST, {})
  end
  for _, entry in ipairs(batch) do
    bytes = bytes + #entry[2][8]
    if #entries == entries_max or (#entries > 0 and bytes > bytes_max) then
      return answer(MORE, entries)
    end
    entries[#entries + 1], last = entry, entry
  end
  if #batch < count then
    return answer(COMPLETE, entries)
  end
end
