#!lua name=saga_store_3

-- What the store does on the server. Every function is about one partition (or the service), runs alone, and either
-- changes everything that it should or nothing. Processes of several versions may use one server: whoever changes what a
-- function does, or what is kept under a key, changes the number in all names.
--
--   {service:partition}:meta      epoch, head, end, trimmed, home, previous, base, identity
--   {service:partition}:records   value by key
--   {service:partition}:residents the same, of those whose key begins with RESIDENT: few, so that all are read at once
--   {service:partition}:cursors   position by log
--   {service:partition}:log       an entry for each commit with events: its id is <epoch>-<number of the last event>
--
-- Among the cursors is the stamp: head and end as of the commit that wrote there last, for whoever has to find out which of the
-- keys is right where they contradict each other. It looks like cursors on logs of a service that there cannot be.
--
-- An epoch lasts as long as the server is sure to have everything that anybody was shown. It has a home: the replication
-- id of the primary, which changes when a server starts, and when a replica is promoted. At another home a new epoch begins:
-- `head` and `end` go on counting, so that what clients know of the old epoch fits nowhere any more.

-- '*', as a number.
local RESIDENT = 42
-- The most values that Lua hands on at once.
local CHUNK = 7000
-- A reply of a log's events ends after the entry that passes this size.
local READ_BYTES = 4 * 1024 * 1024
local EPOCH_MAX = 1048575
local STAMP_HEAD, STAMP_END = '=/0', '=/1'
-- How many entries of a log are looked at, or dropped, in one go.
local ENTRIES = 1000

local function home_here()
  local info = redis.call('INFO', 'replication')
  if not string.find(info, 'role:master', 1, true) then
    return nil, redis.error_reply('READONLY this server is not the primary')
  end
  return string.match(info, 'master_replid:(%x+)')
end

-- The partition, where it was made by `prepare`; else an error.
local function partition_of(meta)
  local here, problem = home_here()
  if not here then return nil, problem end
  local found = redis.call('HMGET', meta, 'epoch', 'head', 'end', 'trimmed', 'home', 'previous', 'base')
  if not found[5] then
    return nil, redis.error_reply('SAGAGONE the partition is not in this database, which was emptied or replaced')
  end
  local trimmed_epoch, trimmed = string.match(found[4] or '', '^(%d+)-(%d+)$')
  local partition = {
    epoch = tonumber(found[1] or ''), head = tonumber(found[2] or ''), last = tonumber(found[3] or ''),
    trimmed_epoch = tonumber(trimmed_epoch), trimmed = tonumber(trimmed),
    home = found[5], here = here, previous = tonumber(found[6] or ''), base = tonumber(found[7] or ''),
  }
  if not (partition.epoch and partition.head and partition.last and partition.trimmed and partition.previous and partition.base)
  then
    return nil, redis.error_reply('SAGATORN ' .. meta .. ' lacks a field, or has one that is no number')
  end
  return partition
end

local function torn(meta, partition, epoch, last)
  return redis.error_reply(string.format('SAGATORN %s says that the log ends at %.0f-%.0f, the log itself ends at %.0f-%.0f',
    meta, partition.epoch, partition.last, epoch, last))
end

local function id_of(entry)
  local epoch, last = string.match(entry[1], '^(%d+)-(%d+)$')
  return tonumber(epoch), tonumber(last)
end

-- Where the log itself ends; where it is empty, at what was trimmed.
local function log_end(log, partition)
  local entry = redis.call('XREVRANGE', log, '+', '-', 'COUNT', 1)[1]
  if not entry then return partition.trimmed_epoch, partition.trimmed end
  return id_of(entry)
end

-- An error where the log lacks events that somebody may need, or has some that were never committed.
local function compare(meta, log, partition)
  local epoch, last = log_end(log, partition)
  if epoch > partition.epoch or last > partition.last or (last < partition.last and partition.trimmed < partition.last) then
    return torn(meta, partition, epoch, last)
  end
end

-- Writes down that an epoch begins here.
local function begin(meta, partition, epoch)
  redis.call('HSET', meta, 'epoch', epoch, 'home', partition.here, 'previous', partition.epoch, 'base', partition.head)
  partition.previous, partition.base = partition.epoch, partition.head
  partition.epoch, partition.home = epoch, partition.here
end

-- Begins a new epoch where the last one began at another home. Two replicas that are promoted one after the other, the
-- second without what the first did, must not choose the same epoch; so the step depends on the new home, and they rarely do.
-- What an earlier home left behind is looked at before anything is built on it.
local function move_in(meta, log, partition)
  if partition.home == partition.here then return false end
  local problem = compare(meta, log, partition)
  if problem then return false, problem end
  local epoch = partition.epoch + 1 + tonumber(string.sub(partition.here, 1, 2), 16) % 64
  if epoch > EPOCH_MAX then
    return false, redis.error_reply('SAGAFULL all epochs are used up')
  end
  begin(meta, partition, epoch)
  return true
end

-- KEYS: meta, records, residents, cursors, log. ARGV: the identity of the data, 1 if they are being made. Sees to it that the
-- partition is there, is of these data, has an epoch of this home, and that meta and log agree. Nothing else begins an epoch: so
-- data that take the place of others are noticed.
local function prepare(keys, args)
  local here, problem = home_here()
  if not here then return problem end
  if redis.call('EXISTS', keys[1]) == 0 then
    if redis.call('EXISTS', keys[2], keys[3], keys[4], keys[5]) > 0 then
      return redis.error_reply('SAGATORN ' .. keys[1] .. ' is gone, and the rest of the partition is there')
    end
    if args[2] ~= '1' then
      return redis.error_reply('SAGAGONE the partition is not in this database, which was emptied or replaced')
    end
    redis.call('HSET', keys[1], 'epoch', 0, 'head', 0, 'end', 0, 'trimmed', '0-0', 'home', here, 'previous', 0, 'base', 0,
      'identity', args[1])
    return 1
  end
  local identity = redis.call('HGET', keys[1], 'identity')
  if identity and identity ~= args[1] then
    return redis.error_reply('SAGAOTHER the partition is of the data ' .. identity .. ', not of ' .. args[1])
  end
  local partition
  partition, problem = partition_of(keys[1])
  if not partition then return problem end
  local moved
  moved, problem = move_in(keys[1], keys[5], partition)
  return problem or (not moved and compare(keys[1], keys[5], partition)) or 0
end

-- KEYS: meta. ARGV: an epoch. Begins an epoch above it and above the partition's own, because an operator says so. Returns
-- {epoch}; or 0 where `prepare` has to be called first.
local function begin_epoch(keys, args)
  local partition, problem = partition_of(keys[1])
  if not partition then return problem end
  if partition.home ~= partition.here then return 0 end
  local epoch = math.max(partition.epoch, tonumber(args[1])) + 1
  if epoch > EPOCH_MAX then return redis.error_reply('SAGAFULL all epochs are used up') end
  begin(keys[1], partition, epoch)
  return { epoch }
end

-- Calls command(key, values from..to) in chunks of an even number of values.
local function in_chunks(command, key, values, from, to)
  for first = from, to, CHUNK do
    redis.call(command, key, unpack(values, first, math.min(first + CHUNK - 1, to)))
  end
end

-- Puts and removes records: key, value, ... and then key, ... from `at` on.
local function write(key, args, at, puts, removes)
  in_chunks('HSET', key, args, at, at + 2 * puts - 1)
  at = at + 2 * puts
  in_chunks('HDEL', key, args, at, at + removes - 1)
end

-- KEYS: meta, records, residents, cursors, log. ARGV: epoch and head that are expected, epoch and number to trim to, how many
-- records are put and removed, how many residents are, cursors moved, events appended; then key, value, ... and key, ...
-- of the records and again of the residents; log, position, ...; event, ...
-- Returns 1, or 0 where the head is another one. The log comes first: it alone may refuse, and then nothing was changed.
local function commit(keys, args)
  local meta = keys[1]
  local partition, problem = partition_of(meta)
  if not partition then return problem end
  if partition.home ~= partition.here or partition.epoch ~= tonumber(args[1]) or partition.head ~= tonumber(args[2]) then return 0 end
  local trim_epoch, trim = tonumber(args[3]), tonumber(args[4])
  local records, residents = tonumber(args[5]), tonumber(args[7])
  local cursors, events = tonumber(args[9]), tonumber(args[10])
  local at_residents = 11 + 2 * records + tonumber(args[6])
  local at_cursors = at_residents + 2 * residents + tonumber(args[8])
  local at = at_cursors + 2 * cursors
  local last = partition.last
  -- One entry for all events of a commit: a third less work for the server than one for each.
  for first = at, at + events - 1, CHUNK / 2 do
    local fields = {}
    for index = first, math.min(first + CHUNK / 2, at + events) - 1 do
      fields[#fields + 1] = 'e'
      fields[#fields + 1] = args[index]
    end
    last = last + #fields / 2
    local added = redis.pcall('XADD', keys[5], partition.epoch .. '-' .. string.format('%.0f', last), unpack(fields))
    if type(added) == 'table' and added.err then
      return string.find(added.err, 'XADD', 1, true) and torn(meta, partition, log_end(keys[5], partition)) or added
    end
  end
  write(keys[3], args, at_residents, residents, tonumber(args[8]))
  write(keys[2], args, 11, records, tonumber(args[6]))
  in_chunks('HSET', keys[4], args, at_cursors, at - 1)
  redis.call('HSET', keys[4], STAMP_HEAD, string.format('%.0f', partition.head + 1), STAMP_END, string.format('%.0f', last))
  if trim_epoch > partition.epoch or (trim_epoch == partition.epoch and trim > last) then
    trim_epoch, trim = partition.epoch, last
  end
  local trimmed_epoch, trimmed = partition.trimmed_epoch, partition.trimmed
  if trim_epoch > trimmed_epoch or (trim_epoch == trimmed_epoch and trim > trimmed) then
    trimmed_epoch, trimmed = trim_epoch, trim
    -- Whole blocks only, which costs nearly nothing; readers do not see what is left in a block.
    redis.call('XTRIM', keys[5], 'MINID', '~', trim_epoch .. '-' .. string.format('%.0f', trim + 1))
  end
  redis.call('HSET', meta, 'head', partition.head + 1, 'end', string.format('%.0f', last),
    'trimmed', trimmed_epoch .. '-' .. string.format('%.0f', trimmed))
  return 1
end

-- KEYS: meta, records, residents, cursors. ARGV: keys of records. Returns epoch, head, end, {log, position, ...},
-- {value, ...}; or 0 where `prepare` has to be called first.
local function load(keys, args)
  local partition, problem = partition_of(keys[1])
  if not partition then return problem end
  if partition.home ~= partition.here then return 0 end
  local records = {}
  for first = 1, #args, CHUNK do
    local values = redis.call('HMGET', keys[2], unpack(args, first, math.min(first + CHUNK - 1, #args)))
    if first == 1 then
      records = values
    else
      for index = 1, #values do records[first + index - 1] = values[index] end
    end
  end
  -- Who has all residents in memory asks for none, so one by one will do.
  for index = 1, #args do
    if string.byte(args[index]) == RESIDENT then records[index] = redis.call('HGET', keys[3], args[index]) end
  end
  return { partition.epoch, partition.head, partition.last, redis.call('HGETALL', keys[4]), records }
end

-- KEYS: meta, residents. Returns epoch, head, {key, value, ...}; or 0 where `prepare` has to be called first.
local function residents(keys)
  local partition, problem = partition_of(keys[1])
  if not partition then return problem end
  if partition.home ~= partition.here then return 0 end
  return { partition.epoch, partition.head, redis.call('HGETALL', keys[2]) }
end

-- KEYS: meta, log. ARGV: epoch and number after which to read, how many events. Returns epoch, head, epoch and number up to
-- which events were trimmed, {{id, {'e', event, ...}}, ...}; the last entry may pass the limit, and the first one may begin
-- before what was asked for. Or 0 where `prepare` has to be called first.
local function read(keys, args)
  local partition, problem = partition_of(keys[1])
  if not partition then return problem end
  if partition.home ~= partition.here then return 0 end
  local epoch, after, limit = tonumber(args[1]), tonumber(args[2]), tonumber(args[3])
  if partition.trimmed_epoch > epoch or (partition.trimmed_epoch == epoch and partition.trimmed > after) then
    epoch, after = partition.trimmed_epoch, partition.trimmed
  end
  local entries, events, bytes = {}, 0, 0
  local start = '(' .. epoch .. '-' .. string.format('%.0f', after)
  while events < limit and bytes < READ_BYTES do
    local page = redis.call('XRANGE', keys[2], start, '+', 'COUNT', math.min(limit - events, 16))
    for _, entry in ipairs(page) do
      if events >= limit or bytes >= READ_BYTES then break end
      entries[#entries + 1] = entry
      events = events + #entry[2] / 2
      for index = 2, #entry[2], 2 do bytes = bytes + #entry[2][index] end
      start = '(' .. entry[1]
    end
    if #page == 0 then
      problem = compare(keys[1], keys[2], partition)
      if problem then return problem end
      break
    end
  end
  return { partition.epoch, partition.head, partition.trimmed_epoch, partition.trimmed, entries }
end

-- KEYS: meta, log. ARGV: an epoch and a head that were shown to somebody. Writes something, for the caller to wait until it is
-- replicated, and returns 1 if everything up to that head is in this database, else 0; 2 where `prepare` has to be called
-- first.
local function fence(keys, args)
  local partition, problem = partition_of(keys[1])
  if not partition then return problem end
  if partition.home ~= partition.here then return 2 end
  redis.call('HSET', keys[1], 'fence', partition.here)
  local epoch, head = tonumber(args[1]), tonumber(args[2])
  if epoch == partition.epoch then return head <= partition.head and 1 or 0 end
  return (epoch == partition.previous and head <= partition.base) and 1 or 0
end

-- KEYS: the list. ARGV: id, address, milliseconds. Returns id, address, ... of everybody who lives.
local function beat(keys, args)
  local time = redis.call('TIME')
  local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
  redis.call('HSET', keys[1], args[1], string.format('%.0f %s', now + tonumber(args[3]), args[2]))
  local living = {}
  local list = redis.call('HGETALL', keys[1])
  for index = 1, #list, 2 do
    local till, address = string.match(list[index + 1], '^(%d+) (.*)$')
    if till and tonumber(till) > now then
      living[#living + 1] = list[index]
      living[#living + 1] = address
    else
      redis.call('HDEL', keys[1], list[index])
    end
  end
  return living
end

-- What has to be done with a partition whose keys contradict each other, and the head and the end that it has then:
--   whole    nothing: they do not
--   finish   the log and the records are of a later commit than meta: it was committed but for that
--   drop     the log alone has more than meta and the records: what nobody was told
--   lost     events that somebody may need are gone
--   unknown  nothing says which of the keys is right
local function judge(keys)
  local partition, problem = partition_of(keys[1])
  if not partition then return nil, problem end
  local epoch, last = log_end(keys[3], partition)
  local stamp = redis.call('HMGET', keys[2], STAMP_HEAD, STAMP_END)
  local head, stamped = tonumber(stamp[1] or ''), tonumber(stamp[2] or '')
  local verdict = 'unknown'
  if last < partition.last and partition.trimmed < partition.last then
    verdict = 'lost'
  elseif epoch > partition.epoch then
    verdict = 'unknown'
  elseif head and head > partition.head and stamped == math.max(last, partition.last) then
    return 'finish', partition, epoch, last, head, stamped
  elseif last <= partition.last then
    verdict = (not head or head <= partition.head) and 'whole' or 'unknown'
  elseif head == partition.head and stamped == partition.last then
    verdict = 'drop'
  end
  return verdict, partition, epoch, last, partition.head, partition.last
end

-- KEYS: meta, cursors, log. ARGV: 1 to do what is to be done, 0 to say it only. Returns what `judge` says: a word, the epoch
-- of the partition, head and end by meta, end of the log (epoch and number), head and end afterwards.
local function repair(keys, args)
  local verdict, partition, epoch, last, head, stamped = judge(keys)
  if not verdict then return partition end
  if args[1] == '1' and (verdict == 'finish' or verdict == 'drop') then
    if verdict == 'drop' then
      local start = '(' .. partition.epoch .. '-' .. string.format('%.0f', partition.last)
      repeat
        local page = redis.call('XRANGE', keys[3], start, '+', 'COUNT', ENTRIES)
        for _, entry in ipairs(page) do redis.call('XDEL', keys[3], entry[1]) end
      until #page == 0
    end
    -- No home: whoever comes next begins a new epoch, so that nobody goes on with what was known before.
    redis.call('HSET', keys[1], 'head', string.format('%.0f', head), 'end', string.format('%.0f', stamped), 'home', 'none')
  end
  return { verdict, partition.epoch, partition.head, partition.last, epoch, last, head, stamped }
end

-- All of them work where memory is used up: what frees some must, and a checkout that was begun must end. What would use more
-- and more, new work, is refused by the services before.
local function register(name, callback, ...)
  redis.register_function { function_name = 'saga_3_' .. name, callback = callback, flags = { ... } }
end

register('prepare', prepare, 'allow-oom')
register('begin', begin_epoch, 'allow-oom')
register('commit', commit, 'allow-oom')
register('fence', fence, 'allow-oom')
register('beat', beat, 'allow-oom')
register('repair', repair, 'allow-oom')
register('load', load, 'no-writes')
register('residents', residents, 'no-writes')
register('read', read, 'no-writes')
