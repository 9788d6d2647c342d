# Konzole česky. Každý klíč je v každém jazyce; soubory porovnává test.
# Suše: co je, co se dá dělat.

language-name = Čeština
languages = Jazyk
skip = Přejít k obsahu
console = Konzole
sign-out = Odhlásit
menu = Stránky
menu-overview = Přehled
menu-nodes = Servery
menu-people = Lidé
menu-sessions = Přihlášení
menu-record = Záznam
menu-shift = Směna
clock-time = { $time } { $zone }
clock-dated = { $day }. { $month }. { $year } { $time } { $zone }
just-now = právě teď
minutes-ago = před { $count } min
hours-ago = před { $count } h
days-ago = před { $count } { $count ->
    [one] dnem
   *[other] dny
}
ahead = později
made-by = Stránku vytvořil server { $node },
alone-heading = Tento server je sám.
alone-body = Nemůže se spojit s většinou ostatních. Jste přihlášeni jen na tomto serveru; změny, na kterých se musí shodnout všichni, počkají.
alarm-heading = Byl použit nouzový kód.
alarm-code-used = Kód { $code } z obálky { $serial } byl použit na serveru { $node }, { $time }.
alarm-again = Předtím byl použit jinde. Zjistěte hned, kdo ho má.
alarm-alone = Ten server byl v té chvíli sám.
alarm-known = Vím o tom
agree = Shodne se { $reached } z { $voters } serverů
agree-not = Chybí většina: tento server vidí { $reached } z { $voters }
leader-is = Směnu vede { $name }
leader-nobody = Směnu nikdo nevede
yes = ano
no = ne
never = nikdy

sign-in-title = Přihlášení
sign-in-heading = Přihlášení
sign-in-name = Jméno
sign-in-password = Heslo
sign-in-code = Šestimístný kód
sign-in-code-hint = Z programu ve vašem telefonu. Na mezerách nezáleží.
sign-in-do = Přihlásit
sign-in-glass = Mám kód ze zapečetěné obálky
sign-in-clock = Hodiny tohoto serveru ukazují { $time }. Liší-li se hodiny telefonu o víc než půl minuty, kódy neplatí.
sign-in-certificate = Na IP adrese vás prohlížeč varuje. Porovnejte otisk, který ukazuje, s otiskem na papíře.

wrong = Jméno, heslo nebo kód nesouhlasí. Nic se nezamklo, zkuste to znovu.
wrong-code-used = Tento kód už byl použit. Počkejte na další, nejdéle půl minuty.
wrong-wait = Příliš rychle. Počkejte { $seconds } s a zkuste to znovu.
wrong-busy = Právě se přihlašuje příliš mnoho lidí. Zkuste to za pár vteřin.
wrong-no-majority = Většinu serverů teď nelze dosáhnout. Co žádá o kód, musí počkat.
wrong-misread = V kódu je překlep: poslední skupina se nehodí k ostatním. Porovnejte ho s papírem.
wrong-glass = Tento kód není v žádné obálce.
wrong-spent = Tento kód už nic neotevře: byl použit, vypršel nebo byl zneplatněn. Vezměte jiný.
wrong-refused = Servery to odmítly: { $why }
wrong-foreign = Formulář nepřišel z této stránky, nebo je stránka příliš stará. Otevřete ji znovu.

glass-title = Nouzový vstup
glass-heading = Kód ze zapečetěné obálky
glass-lead = Otevře konzoli bez účtu. Platí jednou a všichni se o tom dozvědí.
glass-code = Kód
glass-code-hint = Devět skupin po čtyřech znacích. Velká nebo malá písmena, s pomlčkami i bez nich.
glass-do = Otevřít
glass-back = Zpět k přihlášení

confirm-title = Potvrzení
confirm-heading = Zadejte čerstvý kód
confirm-lead = To, co chcete udělat, se těžko bere zpět. Kód ukáže, že jste to vy; pak to udělejte znovu.
confirm-do = Potvrdit

overview-title = Přehled
overview-heading = Co se děje
overview-agreement = Servery
overview-shift = Vede směnu
overview-take-over = Převzít nebo předat
overview-letters = Konverzace
overview-open = otevřených: { $count }
overview-waiting = čeká na odpověď: { $count }
overview-apart = stranou jako možné zneužití: { $count }
overview-held = Drží tento server
overview-held-count = dosud nepředáno: { $count }
overview-people = Přihlášení
overview-people-count = { $count } { $count ->
    [one] člověk
    [few] lidé
   *[other] lidí
}
overview-services = Jména, která se přepínají
overview-services-none = Žádná služba není nastavena.
overview-service = Služba
overview-answers = Odpovídá
overview-since = Od
overview-pinned = zvolil člověk
overview-alarms = Podívejte se na
overview-alarms-none = Nic.
overview-outbox = Pošta čeká
overview-outbox-count = k odeslání: { $count }
overview-given-up = vzdáno: { $count }

nodes-title = Servery
nodes-heading = Servery
nodes-name = Server
nodes-provider = Poskytovatel
nodes-role = Úloha
nodes-reached = Spojení
nodes-console = Konzole
nodes-version = Verze
nodes-votes = hlasuje
nodes-listens = poslouchá
nodes-here = tento
nodes-fingerprint = Otisk (SHA-256) certifikátu na IP adrese:

people-title = Lidé
people-heading = Lidé
people-name = Jméno
people-roles = Role
people-signed-in = Přihlášení
people-ways = Spojení
people-guesses = Chybné pokusy
people-none = žádné
people-add = Nový účet
people-add-lead = Heslo a tajemství kódů se vytvoří a ukážou jednou.
people-account = Jméno účtu
people-account-hint = Písmena, číslice, pomlčky, tečky.
people-shown = Jak se jmenuje
people-add-do = Vytvořit účet
role-viewer = viewer: dívá se
role-agent = agent: čte zákazníky a odpovídá
role-shift-leader = shift-leader: mluví za firmu
role-ops = ops: servery, jména, web
role-admin = admin: všechno včetně lidí
person-title = Člověk
person-roles-do = Změnit role
person-reset = Nové heslo a kódy
person-reset-lead = Staré od té chvíle neplatí a všechna přihlášení skončí.
person-reset-do = Vytvořit nové
person-remove = Zrušit účet
person-remove-lead = Všechna přihlášení skončí. Co tento člověk udělal, zůstane v záznamu.
person-remove-do = Zrušit
person-made = Účet { $name }
person-made-lead = Ukazuje se to jednou. Předejte to osobně nebo telefonem, nikdy poštou.
person-password = Heslo
person-secret = Tajemství kódů
person-picture = Obrázek pro program v telefonu
person-done = Zpět k lidem

sessions-title = Přihlášení
sessions-heading = Kdo je přihlášen
sessions-who = Kdo
sessions-node = Server
sessions-network = Odkud
sessions-made = Od
sessions-seen = Naposledy
sessions-here = jen na tomto serveru
sessions-yours = toto
sessions-end = Odhlásit
sessions-all = Odhlásit všechny
sessions-all-lead = Na všech serverech, i vás.
sessions-all-do = Odhlásit všechny

record-title = Záznam
record-heading = Kdo co udělal
record-search = Hledat
record-search-do = Ukázat
record-when = Kdy
record-who = Kdo
record-node = Server
record-what = Co
record-about = O čem
record-outcome = Výsledek
record-done = hotovo
record-refused = odmítnuto: { $why }
record-none = Nic nenalezeno.
record-older = Starší
record-export = Vše, co se uchovává, jako tabulka (CSV)
record-sound = Každý uchovaný řádek navazuje na další. Celkem řádků: { $count }; konec řetězu je { $head }.
record-broken = Řetěz je přerušen: některý řádek byl změněn nebo odebrán. Data tohoto serveru uchovejte k vyšetření.

shift-title = Směna
shift-heading = Kdo vede směnu
shift-nobody = Zatím nikdo.
shift-since = od { $time }
shift-before = Předtím: { $name }
shift-note-was = Při předání řečeno: { $note }
shift-take = Převzít nebo předat
shift-who = Kdo povede od této chvíle
shift-me = { $name } (vy)
shift-note = Co musí další vědět
shift-do = Od této chvíle
shift-cannot = K vedení směny potřebujete roli shift-leader.

not-found-title = Nenalezeno
not-found = Taková stránka není.
forbidden-title = Není dovoleno
forbidden = { $who } nemá roli { $role }. Požádejte o ni správce, nebo ať to udělá někdo, kdo ji má.
failed-title = Neprovedeno
