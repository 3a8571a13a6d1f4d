-- What the steps on a channel's stream have in common. `known` is what the calling node has seen of it, `sent` what its
-- subscribers were sent last; a stream that contradicts one of them was set back to an earlier state, and starts again
-- under a new epoch.
--
-- Fields of the hash: e epoch, h head, t tag at the head ('0' before the first), b bytes appended in this epoch, o of them
-- those before the oldest entry, x when that entry ends, r how long entries are kept (ms), l when the hash ends, y when
-- the stream's key ends. `o` and `x` may lag behind the oldest entry, never be ahead of it: `trim` looks closer then.
-- An entry's id is OFFSET-UNIX_MS; its fields begin with t (tag), b (bytes appended before it), p (tag of the one before it), and d (data).

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function digits(number)
  return string.format('%.0f', number)
end

local function base36(number)
  local text = ''
  repeat
    local digit = number % 36
    text = string.sub('0123456789abcdefghijklmnopqrstuvwxyz', digit + 1, digit + 1) .. text
    number = (number - digit) / 36
  until number == 0
  return text
end

-- Epochs are ordered: they begin with the time of their start, and end with four random digits.
local function stamp_of(epoch)
  return epoch and tonumber(string.sub(epoch, 1, -5), 36) or 0
end

local function offset_and_time(entry)
  local offset, at = string.match(entry[1], '^(%d+)-(%d+)$')
  return tonumber(offset), tonumber(at)
end

-- Epoch, offset and tag among the arguments; an empty epoch stands for none.
local function seen_at(at)
  return { epoch = ARGV[at], offset = tonumber(ARGV[at + 1]), tag = ARGV[at + 2] }
end

local function is_set_back(stream, known)
  if known.epoch == '' then
    return false
  end
  if known.epoch ~= stream.epoch then
    return stamp_of(known.epoch) >= stamp_of(stream.epoch)
  end
  if known.offset >= stream.head then
    return known.offset > stream.head or known.tag ~= stream.tag
  end
  -- Where the entry is kept no more, the one behind it still has its tag.
  for _, entry in ipairs(redis.call('XRANGE', stream.entries, digits(known.offset), digits(known.offset + 1))) do
    local tag = offset_and_time(entry) == known.offset and entry[2][2] or entry[2][6]
    if tag ~= known.tag then
      return true
    end
  end
  return false
end

local function load(hash, entries)
  local fields = redis.call('HMGET', hash, 'e', 'h', 't', 'b', 'o', 'x', 'r', 'l', 'y')
  return {
    hash = hash, entries = entries, epoch = fields[1], head = tonumber(fields[2] or 0), tag = fields[3] or '0',
    bytes = tonumber(fields[4] or 0), gone = tonumber(fields[5] or 0), ends = tonumber(fields[6] or 0),
    ttl = tonumber(fields[7] or 0), lives = tonumber(fields[8] or 0), entries_live = tonumber(fields[9] or 0),
  }
end

local function start_again(stream, known, random, now)
  local stamp = math.max(now, stamp_of(known.epoch) + 1, stamp_of(stream.epoch) + 1)
  redis.call('DEL', stream.hash, stream.entries)
  stream.epoch = base36(stamp) .. random
  stream.head, stream.tag, stream.bytes, stream.gone, stream.ends = 0, '0', 0, 0, 0
  stream.ttl, stream.lives, stream.entries_live = 0, 0, 0
  redis.call('HSET', stream.hash, 'e', stream.epoch, 'h', 0, 't', '0', 'b', 0, 'o', 0, 'x', 0, 'r', 0)
end

local function open(hash, entries, known, random, now, sent)
  local stream = load(hash, entries)
  if not stream.epoch or is_set_back(stream, known) or sent and is_set_back(stream, sent) then
    start_again(stream, known, random, now)
  end
  return stream
end

-- Lets the hash live for `life` more; it is not written for a little.
local function keep(stream, now, life)
  life = math.max(life, stream.ttl + 1000)
  if stream.lives < now + life then
    stream.lives = now + life + math.floor(life / 8)
    redis.call('PEXPIREAT', stream.hash, digits(stream.lives))
    redis.call('HSET', stream.hash, 'l', digits(stream.lives))
  end
end

-- Drops entries past their time, and the oldest ones beyond `bytes_max`; how many of the latter.
local function trim(stream, now, bytes_max)
  local is_over = function() return stream.bytes - stream.gone > bytes_max end
  local has_ended = stream.ends > 0 and stream.ends <= now
  if not has_ended and not is_over() then
    return 0
  end
  local from, oldest, evicted = '-', nil, 0
  repeat
    local batch = redis.call('XRANGE', stream.entries, from, '+', 'COUNT', 32)
    for _, entry in ipairs(batch) do
      local _, at = offset_and_time(entry)
      stream.gone = tonumber(entry[2][4])
      if at + stream.ttl > now then
        if not is_over() then
          oldest, stream.ends = entry[1], at + stream.ttl
          break
        end
        evicted = evicted + 1
      end
      from = '(' .. entry[1]
    end
  until oldest or #batch == 0
  if oldest then
    redis.call('XTRIM', stream.entries, 'MINID', '=', oldest)
  else
    redis.call('DEL', stream.entries)
    stream.gone, stream.ends, stream.entries_live = stream.bytes, 0, 0
  end
  redis.call('HSET', stream.hash, 'o', digits(stream.gone), 'x', digits(stream.ends), 'y', digits(stream.entries_live))
  return evicted
end
