# The console in English. Every key is in every language; a test compares the files.
# Dry words: what is so, what can be done.

language-name = English
languages = Language
skip = Skip to content
console = Console
sign-out = Sign out
menu = Pages
menu-overview = Overview
menu-nodes = Servers
menu-people = People
menu-sessions = Sessions
menu-record = Record
menu-shift = Shift
clock-time = { $time } { $zone }
clock-dated = { $day }/{ $month }/{ $year }, { $time } { $zone }
just-now = just now
minutes-ago = { $count } min ago
hours-ago = { $count } h ago
days-ago = { $count } { $count ->
    [one] day
   *[other] days
} ago
ahead = later
made-by = This page was made by { $node },
alone-heading = This server is alone.
alone-body = It cannot reach a majority of the others. You are signed in on this server only; changes that all must agree on have to wait.
alarm-heading = Break-glass code used.
alarm-code-used = Code { $code } of envelope { $serial } was used on { $node } at { $time }.
alarm-again = It had been used before, elsewhere. Find out at once who has it.
alarm-alone = That server was alone then.
alarm-known = I know of it
agree = { $reached } of { $voters } servers agree
agree-not = No majority: this server reaches { $reached } of { $voters }
leader-is = Shift leader: { $name }
leader-nobody = Nobody leads the shift
yes = yes
no = no
never = never

sign-in-title = Sign in
sign-in-heading = Sign in
sign-in-name = Name
sign-in-password = Password
sign-in-code = Six-digit code
sign-in-code-hint = From the program on your phone. Spaces do not matter.
sign-in-do = Sign in
sign-in-glass = I have a code from a sealed envelope
sign-in-clock = The clock of this server says { $time }. If your phone's clock differs by more than half a minute, codes do not work.
sign-in-certificate = Under an IP address your browser warns. Compare the fingerprint that it shows with the one on paper.

wrong = Name, password or code is wrong. Nothing is locked; try again.
wrong-code-used = This code was used already. Wait for the next one, at most half a minute.
wrong-wait = Too fast. Wait { $seconds } s, then try again.
wrong-busy = Too many people are signing in at this moment. Try again in a few seconds.
wrong-no-majority = No majority of the servers can be reached now. What asks for a code has to wait.
wrong-misread = A symbol is mistyped: the last group does not fit the others. Compare it with the paper.
wrong-glass = No envelope has this code.
wrong-spent = This code opens nothing any more: it was used, has run out or was withdrawn. Take another one.
wrong-refused = The cluster refused it: { $why }
wrong-foreign = This form did not come from this page, or the page is too old. Open it again.

glass-title = Break glass
glass-heading = A code from a sealed envelope
glass-lead = It opens this console without an account. It is good once, and everybody is told.
glass-code = Code
glass-code-hint = Nine groups of four symbols. Large or small letters, with or without dashes.
glass-do = Open
glass-back = Back to signing in

confirm-title = Confirm
confirm-heading = Show a fresh code
confirm-lead = What you are about to do is hard to undo. A code shows that it is you; then do it again.
confirm-do = Confirm

overview-title = Overview
overview-heading = What is happening
overview-agreement = Servers
overview-shift = Shift leader
overview-take-over = Take over or hand over
overview-letters = Conversations
overview-open = { $count } open
overview-waiting = { $count } waiting for an answer
overview-apart = { $count } kept apart as suspected abuse
overview-held = Held on this server
overview-held-count = { $count } not yet passed on
overview-people = Signed in
overview-people-count = { $count } { $count ->
    [one] person
   *[other] people
}
overview-services = Names that switch
overview-services-none = No service is set up.
overview-service = Service
overview-answers = Answers
overview-since = Since
overview-pinned = chosen by a person
overview-alarms = To look at
overview-alarms-none = Nothing.
overview-outbox = Mail waiting
overview-outbox-count = { $count } in the outbox
overview-given-up = { $count } given up

nodes-title = Servers
nodes-heading = Servers
nodes-name = Server
nodes-provider = Provider
nodes-role = Part
nodes-reached = Reached
nodes-console = Console
nodes-version = Version
nodes-votes = votes
nodes-listens = listens
nodes-here = this one
nodes-fingerprint = Fingerprint (SHA-256) of the certificate under an IP address:

people-title = People
people-heading = People
people-name = Name
people-roles = Roles
people-signed-in = Signed in
people-ways = Reached by
people-guesses = Wrong guesses
people-none = none
people-add = Let somebody in
people-add-lead = A password and the secret of the codes are made and shown once.
people-account = Account name
people-account-hint = Letters, digits, dashes, dots.
people-shown = What they are called
people-add-do = Make the account
role-viewer = viewer: looks
role-agent = agent: reads and answers customers
role-shift-leader = shift leader: speaks for the company
role-ops = ops: servers, names, website
role-admin = admin: everything, people included
person-title = Person
person-roles-do = Change the roles
person-reset = New password and codes
person-reset-lead = The old ones are worthless from then on, and all sessions of this person end.
person-reset-do = Make new ones
person-remove = Take the account away
person-remove-lead = All sessions end. What this person did stays on the record.
person-remove-do = Take it away
person-made = The account { $name }
person-made-lead = This is shown once. Hand it over in person or by telephone, never by mail.
person-password = Password
person-secret = Secret of the codes
person-picture = Picture for the program on the phone
person-done = Back to people

sessions-title = Sessions
sessions-heading = Who is signed in
sessions-who = Who
sessions-node = Server
sessions-network = From
sessions-made = Since
sessions-seen = Last used
sessions-here = on this server only
sessions-yours = this one
sessions-end = Sign out
sessions-all = Sign everybody out
sessions-all-lead = On every server, you included.
sessions-all-do = Sign everybody out

record-title = Record
record-heading = Who did what
record-search = Search
record-search-do = Show
record-when = When
record-who = Who
record-node = Server
record-what = What
record-about = About
record-outcome = Outcome
record-done = done
record-refused = refused: { $why }
record-none = Nothing found.
record-older = Older
record-export = Everything that is kept, as a table (CSV)
record-sound = Every line kept leads to the next. { $count } lines in all; the head of the chain is { $head }.
record-broken = The chain is broken: a line was changed or taken out. Keep this server's data for the investigation.

shift-title = Shift
shift-heading = Who leads the shift
shift-nobody = Nobody yet.
shift-since = since { $time }
shift-before = Before: { $name }
shift-note-was = Said at the hand-over: { $note }
shift-take = Take over or hand over
shift-who = Who leads from now on
shift-me = { $name } (you)
shift-note = What the next one must know
shift-do = From now on
shift-cannot = To lead you need the role shift leader.

not-found-title = Not found
not-found = There is no such page.
forbidden-title = Not allowed
forbidden = { $who } does not have the role { $role }. Ask an admin for it, or somebody who has it to do this.
failed-title = It was not done
