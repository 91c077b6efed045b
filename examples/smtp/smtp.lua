-- A dissector for SMTP (RFC 5321): what a client asks, what a server answers, and the mails between them.
--
-- Events, for rules that `require "smtp"`:
--   command(smtp, command)      command.verb, command.argument (or nil)
--   response(smtp, response)    response.lines, each with code, sep and text
--   mail(smtp, part)            the text of a mail in portions; may be streamed
-- What a rule writes into one of the fields is what the receiver gets.
local tcp_connection = require("protocol/tcp_connection")

local smtp = haka.dissector.new{ type = tcp_connection.helper.TcpFlowDissector, name = "smtp" }
smtp:register_event("command")
smtp:register_event("response")
smtp:register_streamed_event("mail")

smtp.grammar = haka.grammar.new("smtp", function()
    WS = token("[[:blank:]]+")
    CRLF = token("%r?%n")

    command = record{
        field("verb", token("[[:alpha:]]+")),
        optional(sequence{ WS, field("argument", token("[^%r%n]*")) },
            function(self, ctx) return ctx:lookahead() == 32 end),
        CRLF,
    }

    line = record{
        field("code", token("[0-9]{3}")),
        field("sep", token("[ -]")),
        field("text", token("[^%r%n]*")),
        CRLF,
    }
    -- A hyphen says that another line follows.
    response = record{
        field("lines", array(line):untilcond(function(last) return last and last.sep == " " end)),
    }

    -- A mail may be of any length, so it is not waited for: its portions go on as they come. It ends with a
    -- dot on a line of its own.
    mail = sequence{
        bytes():untiltoken("%r%n%.%r%n"):chunked(function(_, part, last, ctx)
            ctx.user:trigger("mail", part)
        end),
        token("%r%n%.%r%n"),
    }

    export(command, response, mail)
end)

local function code_of(response) return response.lines[1].code end

smtp.state_machine = haka.state_machine.new("smtp", function()
    state_type(BidirectionalState)

    greeting = state(nil, smtp.grammar.response)
    session = state(smtp.grammar.command, smtp.grammar.response)
    -- The client has said DATA, and waits for leave to go on.
    asked = state(nil, smtp.grammar.response)
    content = state(smtp.grammar.mail, nil)

    greeting:on{
        event = events.down,
        execute = function(self, response) self:trigger("response", response) end,
        jump = session,
    }
    session:on{
        event = events.up,
        when = function(self, command) return command.verb:upper() == "DATA" end,
        execute = function(self, command) self:trigger("command", command) end,
        jump = asked,
    }
    session:on{
        event = events.up,
        execute = function(self, command) self:trigger("command", command) end,
    }
    session:on{
        event = events.down,
        execute = function(self, response) self:trigger("response", response) end,
    }
    asked:on{
        event = events.down,
        when = function(self, response) return code_of(response) == "354" end,
        execute = function(self, response) self:trigger("response", response) end,
        jump = content,
    }
    asked:on{
        event = events.down,
        execute = function(self, response) self:trigger("response", response) end,
        jump = session,
    }
    content:on{ event = events.up, jump = session }

    any:on{
        event = events.parse_error,
        execute = function(self, err)
            haka.alert{
                description = "invalid smtp " .. err.rule,
                severity = "low",
                sources = haka.alert.address(self.flow.srcip),
                targets = haka.alert.address(self.flow.dstip),
            }
        end,
        jump = fail,
    }
    any:on{
        event = events.missing_grammar,
        execute = function(self, direction)
            local who = direction == "up" and "client" or "server"
            haka.alert{ description = "smtp: unexpected data from " .. who, severity = "low" }
        end,
        jump = fail,
    }
    any:on{
        event = events.fail,
        execute = function(self) self:drop() end,
    }

    initial(greeting)
end)

return smtp
