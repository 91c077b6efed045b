-- regexp/pcre: every call, over a stream whose segments cut what is looked for.
local rem = require('regexp/pcre')
local number = rem.re:compile("%d+")
local word = rem.re:compile("SEC[A-Z]*", rem.re.CASE_INSENSITIVE)

print(number:match("abc 123 def"))
print(number:match("none"))
print(rem.re:match("b + # as many as there are", "abbc", rem.re.EXTENDED))
local sink = number:create_sink()
print(sink:feed("id 4"), sink:ispartial())
print(sink:feed("2"), sink:ispartial())
print(sink:feed(" ", true))

-- A part of what is there.
haka.rule{
    hook = tcp_connection.events.receive_data,
    eval = function(flow, current, direction)
        local found = number:match(current)
        print(direction, "part", found and found:asstring())
    end
}

-- Words that begin with "sec" wait for their end, and leave as others.
haka.rule{
    hook = tcp_connection.events.receive_data,
    options = { streamed = true },
    eval = function(flow, iter, direction)
        local found = word:match(iter, true)
        while found do
            print(direction, "word", found:asstring())
            found:replace(haka.vbuffer_from("***"))
            found = word:match(iter, true)
        end
        print(direction, "over", iter.iseof)
    end
}

-- Only whether there is one, and a copy of it.
haka.rule{
    hook = tcp_connection.events.receive_data,
    options = { streamed = true },
    eval = function(flow, iter, direction)
        print(direction, "name", rem.re:compile("user=[a-z]+ "):match(iter))
        local id = rem.re:compile("id=[0-9]+"):match(iter, true, true)
        print(direction, "id", id and id:asstring())
    end
}
