# The public pages in English. Every key stands in every language; a test compares the files.
# Calm and plain: what happened, what you can do, what happens next.

language-name = English
languages = Language
skip = Skip to the content
problem-title = Problem

# First page
front-title = Emergency page
notice-heading = Our main services may be unavailable
notice-body = This is our emergency page. It runs apart from our main systems, so you can reach us here while they are down.

# Strip on a server that cannot reach the others
alone-heading = This server cannot reach the others right now.
alone-body = You can still write to us: what you send is kept here and passed on as soon as they can be reached.
alone-since = Contact was lost at { $time }; what you see here is as of then.

# The form
write-heading = Write to us
write-lead = The next page tells you where your message is stored, and gives you a code to come back with.
field-text = Your message
field-text-hint = What does not work, and since when?
field-contact = E-mail or phone
field-contact-hint = This is where we answer.
field-reference = Domain, server or customer number (optional)
field-file = Files (optional)
field-file-hint = Up to { $count } of at most { $most } MB each: pictures (PNG, JPEG, GIF, WebP), PDF, and plain text such as a log.
trap = Leave this empty
send = Send

# What is wrong with a form; it has not been sent
problem-heading = Your message has not been sent yet
wrong-text-empty = Write your message.
wrong-text-long = Your message has { $count } characters and at most { $most } fit. Shorten it, or send the rest afterwards.
wrong-contact-empty = Give us an e-mail address or a phone number to answer to.
wrong-contact = This is neither a whole e-mail address nor a phone number. Write it like name@example.com or +420 234 567 890.
wrong-reference-long = This has { $count } characters and at most { $most } fit.
wrong-file-empty = { $name } is empty.
wrong-file-kind = { $name } is none of the kinds that we can take: a picture (PNG, JPEG, GIF or WebP), a PDF, or plain text in UTF-8. What counts is what is in it, not its name.
wrong-file-large = { $name } has { $found } MB, and at most { $most } MB fit. Send the part of it that matters.
wrong-file-many = { $name } is one too many: at most { $count } files go with one message. Send it with the next one.
wrong-file-room = { $name } does not fit any more: the files of one conversation may have { $room } MB together. Write to us how we can get it otherwise.
wrong-file-full = { $name } was not taken: our servers have no room left for files. Your words still go through: press Send again without it.
wrong-file-busy = { $name } was not taken: this server is reading as many files as it can. Choose it again in a minute, or press Send without it.
wrong-file-disk = { $name } was not taken: this server's disk does not take it. Choose it again, or press Send without it.
file-again = Please choose your files again, as browsers forget them: { $names }
form-broken-heading = Your message has not arrived
form-broken = The form did not come whole. Please go back and send it again: it will not arrive twice.
form-slow = It took too long. Please go back and send fewer or smaller files.
form-old = This page was open for more than a day. All you wrote is still here. Please press Send again.
form-unknown = We could not check this form. All you wrote is still here. Please press Send again.
form-busy = Very many messages are coming from your network. All you wrote is still here. Please wait { $seconds ->
    [one] one second
   *[other] { $seconds } seconds
} and press Send again.
form-files-busy = Very many files are coming from your network. All you wrote is still here, and goes through without the files. Please wait { $seconds ->
    [one] one second
   *[other] { $seconds } seconds
} and choose them again, or press Send without them.
form-refused = This server cannot store messages at the moment. All you wrote is still here. Please press Send again in a minute, use one of the other addresses below, or call.
form-unsure = We cannot say yet whether your message is stored. All you wrote is still here. Please press Send again: it will not arrive twice.
conversation-full = This conversation has as many messages as it can hold. Please start a new one from the first page.

# Telephone
call-heading = Call us

# Foot of every page
alternates-heading = If this page stops working
ticket-box = Ticket code
ticket-open = Open
made-by = Made by the server { $node },

# A conversation
talk-title = Conversation { $code }
state-safe = Your message is safely stored
state-safe-more = At least { $copies } of our { $servers } servers have it.
state-safe-one = Our server has it on its disk.
state-held = Your message is held on one server
state-held-more = It is on the disk of this server ({ $node }) and will be passed on as soon as the other servers can be reached. Nothing is lost.
state-held-copies = Your message is held on { $on } of our { $of } servers
state-held-copies-more = It is on the disks of { $on } servers, this one ({ $node }) among them, and any of them will pass it on as soon as most of our servers can reach each other. Nothing is lost.
code-label = Your code
code-hint = Write the code down. With it and your e-mail or phone you can come back at any of our addresses. You can also read it out when you call.
answer-by-mail = You can close this page. We answer to { $contact }.
answer-by-phone = You can close this page. We will call you on the number that ends in { $contact }.
answer-here = You can close this page and come back for the answer.
messages-heading = Messages
you = You
state-files = Your message is stored; a file of it is on { $on } of { $of } servers so far
state-files-more = The files are being copied. They are safe once most of our servers have them; this page says so then.
message-files = stored, its files so far on { $on } of { $of } servers
file-size = { $kb } kB
file-lacking-heading = This file cannot be had right now
file-lacking-body = No server that can be reached has it. It is not lost: please try again in a while.
file-erased-heading = This file was deleted
file-erased-body = We deleted it. The message that it came with is still there.
message-safe = safely stored
message-held = held here, not passed on yet
message-held-copies = held on { $on } servers, not passed on yet
message-passed-on = passed to support at { $time }
message-seen = seen by support at { $time }
chat-sending = being sent
chat-unsent = not sent yet; kept in your browser and sent as soon as a server answers
chat-live = Connected. Answers appear here by themselves.
chat-lost = The connection is lost. We keep trying all our servers. What you wrote is kept in your browser.
chat-busy = Very many messages are coming at once. This one is kept and goes out by itself.
chat-newer = New since this page was loaded
chat-newer-none = Nothing new yet. Looked at { $time }, and again every 20 seconds.
wait-writing = Somebody is writing an answer to you now.
wait-looking = Somebody is reading your conversation now.
wait-next = You are next.
wait-place = You are number { $count } of those who wait for an answer.
wait-far = More than { $count } people wait for an answer before you.
wait-about = At the pace of the last half hour it takes about { $count ->
    [one] one minute
   *[other] { $count } minutes
}.
message-sealed = This server cannot open this text at the moment. It is kept; another of our addresses can show it.
no-answer-yet = No answer yet.
closed = We have closed this conversation. If you write again, it is open again.
reload = Look for an answer
more-heading = Write more
keep-heading = Your link
keep-body = Whoever has this link can read this conversation. Keep it for yourself.

absent-heading = Your conversation is not on this server yet
absent-body = The server that took your message keeps it and passes it on. Please load this page again in a minute, or open your ticket code at one of the other addresses.

# Coming back with a code
ticket-heading = Open your conversation
ticket-lead = Enter the code that we gave you and the e-mail or phone that you gave us.
ticket-contact-hint = The one you gave us in your message.
field-code = Ticket code
field-code-hint = Nine letters and digits, such as K7F‑Q2M‑9XF.
ticket-problem = We could not open the conversation
wrong-code-empty = Enter your ticket code.
wrong-code = One of the symbols is wrong or missing. A code has nine letters and digits, such as K7F‑Q2M‑9XF.
ticket-unknown = No conversation has this code together with this e-mail or phone. Please check both.
ticket-unknown-alone = This server cannot reach the others, so it may not know your conversation. Try one of the other addresses below as well.
ticket-busy = Too many attempts. Please wait { $seconds ->
    [one] one second
   *[other] { $seconds } seconds
} and try again.

# Other pages
onward-heading = This way
onward = Go on
to-front = To the first page
unsubscribe-heading = Unsubscribe
unsubscribe-body = You will get no more news and updates from us. We still write to you about faults and changes of the services that you pay for.
unsubscribe-do = Unsubscribe
unsubscribed-heading = You are unsubscribed
unsubscribed-body = You get no more news and updates from us. If this was a mistake, write to us.
unsubscribe-later-heading = That did not work just now
unsubscribe-later-body = Our servers cannot agree at the moment. Please try again in a few minutes.
unsubscribe-unknown-body = This address is not complete. Copy it whole from the message that you got, or write to us.
not-found-heading = There is no such page here
not-found-body = The address may be misspelt, or the page belongs to our main website, which may be unavailable.
too-large-heading = Your message is too large
too-large-body = It has not been sent. At most 4,000 characters fit. Please go back, shorten it and send it again.
wrong-way-heading = This page cannot be used that way
wrong-way-body = Please start from the first page.

# Time
just-now = just now
minutes-ago = { $count } min ago
hours-ago = { $count ->
    [one] 1 hour ago
   *[other] { $count } hours ago
}
days-ago = { $count ->
    [one] 1 day ago
   *[other] { $count } days ago
}
clock-time = { $time } { $zone }
clock-dated = { $day } { $month ->
    [1] January
    [2] February
    [3] March
    [4] April
    [5] May
    [6] June
    [7] July
    [8] August
    [9] September
    [10] October
    [11] November
   *[12] December
} { $year }, { $time } { $zone }

# What happens now
status-title = Status
status-link = State of all services and past incidents
status-calm = No incident is known to us.
status-parts = Services
status-planned = Planned maintenance
status-past = Past incidents
status-feeds = Get updates in your reader
status-calendar = Calendar of maintenance
hosted-none = All systems work
hosted-minor = Something small does not work
hosted-major = Some services do not work
hosted-critical = Nearly everything is down
hosted-maintenance = Maintenance is going on
part-working = working
part-limited = limited
part-down = down
part-maintenance = maintenance
since = since { $time }
next-by = Next update by { $time }.
next-late = The next update was due by { $time } and is late.
window = From { $from } to { $until }
edited = edited at { $time }
withdrawn = Taken back at { $time }: { $reason }
said-outdated = This update has changed since it was last translated. Its newest wording is in another language:
said-missing = This update is not translated yet:
stage-investigating = We are looking for the cause
stage-identified = We know the cause
stage-monitoring = Put right, we are watching
stage-resolved = Over
stage-scheduled = Planned
stage-in-progress = Going on
stage-completed = Done
history = History
earlier = Earlier wording
whole-withdrawn = Opened by mistake and taken back

# Is it me: whether a domain, server or customer number is among what is affected
mine-title = Is it me?
mine-label = Domain, server or customer number
mine-check = Check
mine-lead = Tell us what you have with us, and we tell you whether it is among what is affected.
mine-affected = Yes: { $asked } is affected
mine-affected-by = By “{ $title }”.
mine-not-found = { $asked } is not among what we know to be affected
mine-not-found-more = As of { $time }. This changes as we learn more. If it does not work all the same, write to us.
mine-open = For “{ $title }” we cannot say yet who exactly is affected.
mine-cannot = We cannot tell for { $asked } yet
mine-cannot-more = We do not know yet exactly who is affected. What we know is on the first page. If something does not work, write to us.
mine-calm = No outage is known at the moment
mine-calm-more = If something of yours does not work, write to us.
mine-empty = Write a domain, a server or your customer number.
mine-long = This has { $count } characters and at most { $most } fit.
mine-busy = Very many questions are coming from your network. Please wait { $seconds ->
    [one] one second
   *[other] { $seconds } seconds
} and press Check again.
mine-disk = This server cannot look it up at the moment. Please press Check again in a minute, or use one of the other addresses below.
mine-write = Write to us

awake-title = Are you awake?
awake-title-reminder = An update is promised soon
awake-ask = With one tap you say that you know of it and take it on. Nobody else is called then.
awake-ask-reminder = With one tap you say that you know of it. Nobody else is told now; if the update is not there in time, everybody on call is.
awake-ask-test = With one tap you say that this message reached you.
awake-do = I am awake and take it on
awake-do-reminder = I know of it
awake-do-test = It came
awake-heading = Thank you
awake-body = It is written down who answered, and when. Nobody else is called any more.
awake-body-reminder = It is written down that you know of it. Publishing the update ends this.
awake-body-test = This way to you works. That is written down; you need do nothing more.
awake-by = { $who } has answered already. You need do nothing.
awake-over = It is over. You need do nothing.
awake-later-heading = That did not work just now
awake-later-body = This server cannot agree with the others at the moment. Try another address of the message, or this one again in a while.
awake-unknown-body = This address is not complete, or very old. Copy it whole from the message that you got.

# The page of an exercise
exercise-word = EXERCISE
exercise-body = Nothing has happened. Our people rehearse; nothing here is true.
exercise-over = The exercise is over.
exercise-nothing = Nothing has been published in this exercise yet.
exercise-front = To how things really are
awake-ask-drill = It is an exercise: nothing has happened. With one tap you say that you are at it. Nobody else is called then.
awake-do-drill = I am at it (EXERCISE)
