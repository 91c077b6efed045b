-- What may be said to a mail server: no asking around for its users, no boasting about its version, and no
-- programs in the post.
local smtp = require("smtp")

smtp:install_tcp_rule(25)

haka.rule{
    hook = smtp.events.command,
    eval = function(smtp, command)
        haka.log("%s says %s %s", smtp.flow.srcip, command.verb, command.argument or "")
        local verb = command.verb:upper()
        if verb == "VRFY" or verb == "EXPN" then
            haka.alert{
                description = "somebody looks for users",
                severity = "medium",
                sources = haka.alert.address(smtp.flow.srcip),
            }
            smtp:reset()
        end
    end
}

haka.rule{
    hook = smtp.events.response,
    eval = function(smtp, response)
        local first = response.lines[1]
        if first.code == "220" then first.text = ("*"):rep(#first.text) end
    end
}

-- Streamed: one coroutine for each mail, which sees it as a whole however it was cut.
haka.rule{
    hook = smtp.events.mail,
    options = { streamed = true },
    eval = function(smtp, iter)
        local length, last = 0, ""
        for part in iter:foreach_available() do
            length = length + #part
            local text = last .. part:asstring()
            if text:lower():find('.exe"', 1, true) then
                haka.alert{ description = "a program in a mail", severity = "high" }
                return smtp:drop()
            end
            last = text:sub(-5)
        end
        haka.log("a mail of %d bytes", length)
    end
}
