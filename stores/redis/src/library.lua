#!lua name=saga_store_2

-- What the store does on the server. Every function is about one partition (or the service), runs alone, and either
-- changes everything that it should or nothing. Processes of several versions may use one server: whoever changes what a
-- function does, or what is kept under a key, changes the number in all names.
--
--   {service:partition}:meta      epoch, head, end, trimmed, home, previous, base
--   {service:partition}:records   value by key
--   {service:partition}:residents the same, of those whose key begins with RESIDENT: few, so that all are read at once
--   {service:partition}:cursors   position by log
--   {service:partition}:log       an entry for each commit with events: its id is <epoch>-<number of the last event>
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
    return nil, redis.error_reply('SAGAGONE the partition is not in this database')
  end
  local trimmed_epoch, trimmed = string.match(found[4], '^(%d+)-(%d+)$')
  return {
    epoch = tonumber(found[1]), head = tonumber(found[2]), last = tonumber(found[3]),
    trimmed_epoch = tonumber(trimmed_epoch), trimmed = tonumber(trimmed),
    home = found[5], here = here, previous = tonumber(found[6]), base = tonumber(found[7]),
  }
end

-- Begins a new epoch where the last one began at another home. Two replicas that are promoted one after the other, the
-- second without what the first did, must not choose the same epoch; so the step depends on the new home, and they rarely do.
local function move_in(meta, partition)
  if partition.home == partition.here then return false end
  local epoch = partition.epoch + 1 + tonumber(string.sub(partition.here, 1, 2), 16) % 64
  if epoch > EPOCH_MAX then
    return false, redis.error_reply('SAGAFULL all epochs are used up')
  end
  redis.call('HSET', meta, 'epoch', epoch, 'home', partition.here, 'previous', partition.epoch, 'base', partition.head)
  partition.previous, partition.base = partition.epoch, partition.head
  partition.epoch, partition.home = epoch, partition.here
  return true
end

-- KEYS: meta. Makes the partition if there is none, and sees to it that its epoch is of this home.
local function prepare(keys)
  local here, problem = home_here()
  if not here then return problem end
  if redis.call('EXISTS', keys[1]) == 0 then
    redis.call('HSET', keys[1], 'epoch', 0, 'head', 0, 'end', 0, 'trimmed', '0-0', 'home', here, 'previous', 0, 'base', 0)
    return 1
  end
  local partition
  partition, problem = partition_of(keys[1])
  if not partition then return problem end
  local _
  _, problem = move_in(keys[1], partition)
  return problem or 0
end

-- Calls command(key, values from..to) in chunks of an even number of values.
local function in_chunks(command, key, values, from, to)
  for first = from, to, CHUNK do
    redis.call(command, key, unpack(values, first, math.min(first + CHUNK - 1, to)))
  end
end

-- Puts and removes records: key, value, ... and then key, ... from `at` on. Returns what follows.
local function write(key, args, at, puts, removes)
  in_chunks('HSET', key, args, at, at + 2 * puts - 1)
  at = at + 2 * puts
  in_chunks('HDEL', key, args, at, at + removes - 1)
  return at + removes
end

-- KEYS: meta, records, residents, cursors, log. ARGV: epoch and head that are expected, epoch and number to trim to, how many
-- records are put and removed, how many residents are, cursors moved, events appended; then key, value, ... and key, ...
-- of the records and again of the residents; log, position, ...; event, ...
-- Returns 1, or 0 where the head is another one.
local function commit(keys, args)
  local meta = keys[1]
  local partition, problem = partition_of(meta)
  if not partition then return problem end
  local moved
  moved, problem = move_in(meta, partition)
  if problem then return problem end
  if moved or partition.epoch ~= tonumber(args[1]) or partition.head ~= tonumber(args[2]) then return 0 end
  local trim_epoch, trim = tonumber(args[3]), tonumber(args[4])
  local cursors, events = tonumber(args[9]), tonumber(args[10])
  local at = write(keys[2], args, 11, tonumber(args[5]), tonumber(args[6]))
  at = write(keys[3], args, at, tonumber(args[7]), tonumber(args[8]))
  in_chunks('HSET', keys[4], args, at, at + 2 * cursors - 1)
  at = at + 2 * cursors
  local last = partition.last
  -- One entry for all events of a commit: a third less work for the server than one for each.
  for first = at, at + events - 1, CHUNK / 2 do
    local fields = {}
    for index = first, math.min(first + CHUNK / 2, at + events) - 1 do
      fields[#fields + 1] = 'e'
      fields[#fields + 1] = args[index]
    end
    last = last + #fields / 2
    redis.call('XADD', keys[5], partition.epoch .. '-' .. string.format('%.0f', last), unpack(fields))
  end
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
    if #page == 0 then break end
  end
  return { partition.epoch, partition.head, partition.trimmed_epoch, partition.trimmed, entries }
end

-- KEYS: meta. ARGV: an epoch and a head that were shown to somebody. Writes something, for the caller to wait until it is
-- replicated, and returns 1 if everything up to that head is in this database, else 0.
local function fence(keys, args)
  local partition, problem = partition_of(keys[1])
  if not partition then return problem end
  local _
  _, problem = move_in(keys[1], partition)
  if problem then return problem end
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

redis.register_function('saga_2_prepare', prepare)
redis.register_function('saga_2_commit', commit)
redis.register_function('saga_2_fence', fence)
redis.register_function('saga_2_beat', beat)
-- These must work where nothing may be written, as when memory is used up.
redis.register_function { function_name = 'saga_2_load', callback = load, flags = { 'no-writes' } }
redis.register_function { function_name = 'saga_2_residents', callback = residents, flags = { 'no-writes' } }
redis.register_function { function_name = 'saga_2_read', callback = read, flags = { 'no-writes' } }
