# Veřejné stránky česky. Každý klíč je v každém jazyce; soubory porovnává test.
# Klidně a prostě: co se stalo, co můžete udělat, co bude dál.

language-name = Čeština
languages = Jazyk
skip = Přejít k obsahu
problem-title = Chyba

# Úvodní stránka
front-title = Nouzová stránka
notice-heading = Naše hlavní služby možná nefungují
notice-body = Toto je naše nouzová stránka. Běží odděleně od hlavních systémů, takže se nám můžete ozvat, i když ty právě nejdou.

# Proužek na serveru, který nevidí ostatní
alone-heading = Tento server se teď nemůže spojit s ostatními.
alone-body = Psát nám můžete dál: zprávu uložíme tady a předáme ji, jakmile se spojení obnoví.
alone-since = Spojení se přerušilo { $time }; co tu vidíte, platilo tehdy.

# Formulář
write-heading = Napište nám
write-lead = Na další stránce se dozvíte, kde je vaše zpráva uložená, a dostanete kód, se kterým se k ní vrátíte.
field-text = Vaše zpráva
field-text-hint = Co nefunguje a odkdy?
field-contact = E-mail nebo telefon
field-contact-hint = Sem vám odpovíme.
field-reference = Doména, server nebo zákaznické číslo (nepovinné)
field-file = Soubory (nepovinné)
field-file-hint = Nejvýše { $count }, každý do { $most } MB: obrázky (PNG, JPEG, GIF, WebP), PDF a prostý text, třeba log.
trap = Toto pole nechte prázdné
send = Odeslat

# Co je ve formuláři špatně; ještě se neodeslal
problem-heading = Zprávu jsme zatím neodeslali
wrong-text-empty = Napište, co potřebujete.
wrong-text-long = Zpráva má { $count } znaků, vejde se nejvýše { $most }. Zkraťte ji, nebo zbytek pošlete dodatečně.
wrong-contact-empty = Uveďte e-mail nebo telefon, na který máme odpovědět.
wrong-contact = Tohle není celá e-mailová adresa ani telefonní číslo. Napište je třeba takto: jmeno@example.com nebo +420 234 567 890.
wrong-reference-long = Údaj má { $count } znaků, vejde se nejvýše { $most }.
wrong-file-empty = Soubor { $name } je prázdný.
wrong-file-kind = Soubor { $name } není nic z toho, co umíme přijmout: obrázek (PNG, JPEG, GIF nebo WebP), PDF nebo prostý text v UTF-8. Rozhoduje obsah, ne název.
wrong-file-large = Soubor { $name } má { $found } MB, vejde se nejvýše { $most } MB. Pošlete z něj tu část, na které záleží.
wrong-file-many = Soubor { $name } je navíc: s jednou zprávou jich jde poslat nejvýše { $count }. Pošlete ho s další.
wrong-file-room = Soubor { $name } se už nevejde: soubory jedné konverzace smí mít dohromady { $room } MB. Napište nám, jak jinak se k němu dostaneme.
wrong-file-full = Soubor { $name } jsme nepřijali: na našich serverech už není pro soubory místo. Slova projdou: pošlete zprávu znovu bez něj.
wrong-file-busy = Soubor { $name } jsme nepřijali: tento server právě čte tolik souborů, kolik zvládne. Za minutu ho vyberte znovu, nebo pošlete zprávu bez něj.
wrong-file-disk = Soubor { $name } jsme nepřijali: disk tohoto serveru ho nebere. Vyberte ho znovu, nebo pošlete zprávu bez něj.
file-again = Vyberte prosím soubory znovu, prohlížeč je zapomíná: { $names }
form-broken-heading = Zpráva nedorazila
form-broken = Formulář nepřišel celý. Vraťte se prosím zpět a pošlete ho znovu: dvakrát nepřijde.
form-slow = Trvalo to příliš dlouho. Vraťte se prosím zpět a pošlete méně souborů nebo menší.
form-old = Stránka byla otevřená déle než den. Všechno, co jste napsali, tu zůstalo. Stiskněte prosím znovu Odeslat.
form-unknown = Formulář se nepodařilo ověřit. Všechno, co jste napsali, tu zůstalo. Stiskněte prosím znovu Odeslat.
form-busy = Z vaší sítě přichází velmi mnoho zpráv. Všechno, co jste napsali, tu zůstalo. Počkejte prosím { $seconds ->
    [one] jednu sekundu
    [few] { $seconds } sekundy
    [many] { $seconds } sekundy
   *[other] { $seconds } sekund
} a stiskněte znovu Odeslat.
form-files-busy = Z vaší sítě přichází velmi mnoho souborů. Všechno, co jste napsali, tu zůstalo a bez souborů projde. Počkejte prosím { $seconds ->
    [one] jednu sekundu
    [few] { $seconds } sekundy
    [many] { $seconds } sekundy
   *[other] { $seconds } sekund
} a vyberte je znovu, nebo stiskněte Odeslat bez nich.
form-refused = Tento server teď nemůže zprávy ukládat. Všechno, co jste napsali, tu zůstalo. Stiskněte prosím za minutu znovu Odeslat, použijte některou z dalších adres níže, nebo zavolejte.
form-unsure = Zatím nevíme jistě, jestli je vaše zpráva uložená. Všechno, co jste napsali, tu zůstalo. Stiskněte prosím znovu Odeslat: dvakrát nám nepřijde.
conversation-full = Do této konverzace se už další zprávy nevejdou. Začněte prosím novou na úvodní stránce.

# Telefon
call-heading = Zavolejte nám

# Pata každé stránky
alternates-heading = Kdyby tato stránka přestala fungovat
ticket-box = Kód zprávy
ticket-open = Otevřít
made-by = Stránku vytvořil server { $node },

# Konverzace
talk-title = Konverzace { $code }
state-safe = Vaše zpráva je bezpečně uložená
state-safe-more = Mají ji nejméně { $copies } z našich { $servers } serverů.
state-safe-one = Náš server ji má na disku.
state-held = Vaši zprávu zatím drží jeden server
state-held-more = Je na disku tohoto serveru ({ $node }) a předáme ji, jakmile se server spojí s ostatními. Nic se neztratilo.
state-held-copies = Vaši zprávu zatím drží { $on } z našich { $of } serverů
state-held-copies-more = Je na disku { $on } serverů, také tohoto ({ $node }), a předá ji kterýkoli z nich, jakmile se většina našich serverů znovu spojí. Nic se neztratilo.
code-label = Váš kód
code-hint = Kód si zapište. S ním a se svým e-mailem nebo telefonem se ke zprávě vrátíte na kterékoli z našich adres. Můžete ho také nadiktovat po telefonu.
answer-by-mail = Stránku můžete zavřít. Odpovíme na { $contact }.
answer-by-phone = Stránku můžete zavřít. Zavoláme vám na číslo, které končí na { $contact }.
answer-here = Stránku můžete zavřít a pro odpověď se sem vrátit.
messages-heading = Zprávy
you = Vy
state-files = Zpráva je uložená; některý její soubor je zatím na { $on } z { $of } serverů
state-files-more = Soubory se kopírují. V bezpečí jsou, až je bude mít většina našich serverů; tato stránka to pak řekne.
message-files = uloženo, soubory zatím na { $on } z { $of } serverů
file-size = { $kb } kB
file-lacking-heading = K tomuto souboru se teď nedostaneme
file-lacking-body = Nemá ho žádný server, na který je spojení. Není ztracený: zkuste to prosím za chvíli znovu.
file-erased-heading = Tento soubor byl smazán
file-erased-body = Smazali jsme ho. Zpráva, se kterou přišel, tu zůstává.
message-safe = bezpečně uloženo
message-held = uloženo jen tady, zatím nepředáno
message-held-copies = uloženo na { $on } serverech, zatím nepředáno
message-passed-on = podpora převzala { $time }
message-seen = podpora četla { $time }
chat-sending = odesílá se
chat-unsent = zatím neodesláno; zpráva je uložená ve vašem prohlížeči a odejde, jakmile se některý server ozve
chat-live = Spojeno. Odpovědi se tu objeví samy.
chat-lost = Spojení se přerušilo. Zkoušíme dál všechny naše servery. Co jste napsali, zůstává uložené ve vašem prohlížeči.
chat-busy = Přichází příliš mnoho zpráv najednou. Tato je uložená a odejde sama.
chat-newer = Nové od načtení stránky
chat-newer-none = Zatím nic nového. Podívali jsme se { $time } a díváme se znovu každých 20 sekund.
wait-writing = Právě vám někdo píše odpověď.
wait-looking = Vaši konverzaci právě někdo čte.
wait-next = Jste na řadě.
wait-place = Na odpověď čekáte jako { $count }. v pořadí.
wait-far = Před vámi čeká na odpověď více než { $count } lidí.
wait-about = Podle poslední půlhodiny to potrvá asi { $count ->
    [one] minutu
    [few] { $count } minuty
    [many] { $count } minuty
   *[other] { $count } minut
}.
message-sealed = Tento server teď text neumí otevřít. Uložený je; ukáže ho jiná z našich adres.
no-answer-yet = Odpověď zatím nepřišla.
closed = Konverzaci jsme uzavřeli. Když znovu napíšete, zase se otevře.
reload = Podívat se po odpovědi
more-heading = Napsat další zprávu
keep-heading = Váš odkaz
keep-body = Kdo má tento odkaz, může konverzaci číst. Nechte si ho pro sebe.

absent-heading = Vaše konverzace na tomto serveru ještě není
absent-body = Server, který vaši zprávu přijal, ji má uloženou a předá ji dál. Načtěte prosím stránku za minutu znovu, nebo zadejte svůj kód na některé z dalších adres.

# Návrat s kódem
ticket-heading = Otevřít konverzaci
ticket-lead = Zadejte kód, který jste od nás dostali, a e-mail nebo telefon, který jste uvedli.
ticket-contact-hint = Ten, který jste uvedli ve zprávě.
field-code = Kód zprávy
field-code-hint = Devět písmen a číslic, například K7F‑Q2M‑9XF.
ticket-problem = Konverzaci se nepodařilo otevřít
wrong-code-empty = Zadejte kód zprávy.
wrong-code = Některý znak je špatně nebo chybí. Kód má devět písmen a číslic, například K7F‑Q2M‑9XF.
ticket-unknown = S tímto kódem a tímto e-mailem nebo telefonem tu žádná konverzace není. Zkontrolujte prosím obojí.
ticket-unknown-alone = Tento server se nemůže spojit s ostatními, takže vaši konverzaci možná nezná. Zkuste i některou z dalších adres níže.
ticket-busy = Příliš mnoho pokusů. Počkejte prosím { $seconds ->
    [one] jednu sekundu
    [few] { $seconds } sekundy
    [many] { $seconds } sekundy
   *[other] { $seconds } sekund
} a zkuste to znovu.

# Další stránky
onward-heading = Pokračujte tudy
onward = Pokračovat
to-front = Na úvodní stránku
unsubscribe-heading = Odhlášení odběru
unsubscribe-body = Novinky a přehledy vám už posílat nebudeme. O poruchách a změnách služeb, které u nás máte, vám psát budeme dál.
unsubscribe-do = Odhlásit odběr
unsubscribed-heading = Odběr je odhlášen
unsubscribed-body = Novinky a přehledy vám už posílat nebudeme. Pokud to byl omyl, napište nám.
unsubscribe-later-heading = Teď se to nepovedlo
unsubscribe-later-body = Naše servery se právě nemohou dohodnout. Zkuste to prosím za pár minut znovu.
unsubscribe-unknown-body = Adresa není úplná. Zkopírujte ji celou ze zprávy, kterou jste dostali, nebo nám napište.
not-found-heading = Taková stránka tu není
not-found-body = Adresa může být přepsaná, nebo stránka patří k našemu hlavnímu webu, který možná nefunguje.
too-large-heading = Zpráva je příliš velká
too-large-body = Neodeslala se. Vejde se nejvýše 4 000 znaků. Vraťte se prosím zpět, zkraťte ji a pošlete znovu.
wrong-way-heading = Takto se tato stránka použít nedá
wrong-way-body = Začněte prosím od úvodní stránky.

# Čas
just-now = právě teď
minutes-ago = před { $count } min
hours-ago = { $count ->
    [one] před hodinou
   *[other] před { $count } hodinami
}
days-ago = { $count ->
    [one] před jedním dnem
   *[other] před { $count } dny
}
clock-time = { $time } { $zone }
clock-dated = { $day }. { $month ->
    [1] ledna
    [2] února
    [3] března
    [4] dubna
    [5] května
    [6] června
    [7] července
    [8] srpna
    [9] září
    [10] října
    [11] listopadu
   *[12] prosince
} { $year } v { $time } { $zone }

# Co se děje teď
status-title = Stav služeb
status-link = Stav všech služeb a minulé výpadky
status-calm = O žádném výpadku nevíme.
status-parts = Služby
status-planned = Plánovaná údržba
status-past = Minulé výpadky
status-feeds = Novinky ve čtečce
status-calendar = Kalendář údržby
hosted-none = Všechno funguje
hosted-minor = Něco drobného nefunguje
hosted-major = Některé služby nefungují
hosted-critical = Nejede skoro nic
hosted-maintenance = Probíhá údržba
part-working = funguje
part-limited = omezeně
part-down = nefunguje
part-maintenance = údržba
since = od { $time }
next-by = Další zpráva do { $time }.
next-late = Další zpráva měla přijít do { $time } a má zpoždění.
window = Od { $from } do { $until }
edited = upraveno { $time }
withdrawn = Vzato zpět { $time }: { $reason }
said-outdated = Od posledního překladu se tato zpráva změnila. Nejnovější znění je v jiném jazyce:
said-missing = Tato zpráva ještě není přeložená:
stage-investigating = Hledáme příčinu
stage-identified = Příčinu známe
stage-monitoring = Opraveno, sledujeme
stage-resolved = Skončilo
stage-scheduled = V plánu
stage-in-progress = Probíhá
stage-completed = Hotovo
history = Průběh
earlier = Dřívější znění
whole-withdrawn = Otevřeno omylem a vzato zpět

# Týká se to mě: zda doména, server nebo zákaznické číslo patří k tomu, co nefunguje
mine-title = Týká se to mě?
mine-label = Doména, server nebo zákaznické číslo
mine-check = Zjistit
mine-lead = Napište, co u nás máte, a řekneme vám, zda se vás výpadek týká.
mine-affected = Ano, { $asked } se výpadek týká
mine-affected-by = Jde o: „{ $title }“.
mine-not-found = { $asked } mezi tím, o čem víme, že nefunguje, není
mine-not-found-more = Stav k { $time }. Jak zjišťujeme víc, může se to změnit. Pokud vám přesto něco nefunguje, napište nám.
mine-open = U „{ $title }“ zatím nevíme přesně, koho se to týká.
mine-cannot = O { $asked } zatím nic říct nemůžeme
mine-cannot-more = Zatím přesně nevíme, koho se výpadek týká. Co víme, je na první stránce. Pokud vám něco nefunguje, napište nám.
mine-calm = Teď o žádném výpadku nevíme
mine-calm-more = Pokud vám něco nefunguje, napište nám.
mine-empty = Napište doménu, server nebo své zákaznické číslo.
mine-long = Tohle má { $count } znaků a vejde se jich nejvýš { $most }.
mine-busy = Z vaší sítě přichází velmi mnoho dotazů. Počkejte prosím { $seconds ->
    [one] jednu sekundu
    [few] { $seconds } sekundy
   *[other] { $seconds } sekund
} a stiskněte Zjistit znovu.
mine-disk = Tento server to teď nemůže vyhledat. Stiskněte prosím Zjistit znovu za minutu, nebo použijte některou z dalších adres níže.
mine-write = Napište nám

awake-title = Jste vzhůru?
awake-title-reminder = Brzy má vyjít slíbená zpráva
awake-ask = Klepnutím potvrdíte, že o tom víte a ujmete se toho. Dalším lidem už volat nebudeme.
awake-ask-reminder = Klepnutím potvrdíte, že o tom víte. Nikomu dalšímu teď nevoláme; když zpráva včas nevyjde, zavoláme všem ve službě.
awake-ask-test = Klepnutím potvrdíte, že vás tahle zpráva zastihla.
awake-do = Jsem vzhůru, beru si to
awake-do-reminder = Vím o tom
awake-do-test = Došla
awake-heading = Děkujeme
awake-body = Je zapsáno, kdo a kdy odpověděl. Dalším lidem už nevoláme.
awake-body-reminder = Je zapsáno, že o tom víte. Hotovo je to, jakmile zprávu zveřejníte.
awake-body-test = Tahle cesta k vám funguje. Je to zapsáno, nic dalšího dělat nemusíte.
awake-by = Už odpověděl(a): { $who }. Nemusíte dělat nic.
awake-over = Už je po všem. Nemusíte dělat nic.
awake-later-heading = Teď se to nepovedlo
awake-later-body = Tenhle server se právě nemůže domluvit s ostatními. Zkuste jinou adresu ze zprávy, nebo to za chvíli opakujte.
awake-unknown-body = Adresa není úplná, nebo je velmi stará. Zkopírujte ji celou ze zprávy, kterou jste dostali.

# Stránka cvičení
exercise-word = CVIČENÍ
exercise-body = Nic se nestalo. Naši lidé cvičí a nic z toho, co je tady, není pravda.
exercise-over = Cvičení skončilo.
exercise-nothing = V tomto cvičení zatím nikdo nic nezveřejnil.
exercise-front = Jak to doopravdy je
awake-ask-drill = Je to cvičení, nic se neděje. Klepnutím potvrdíte, že jste u toho. Dalším lidem už volat nebudeme.
awake-do-drill = Jsem u toho (CVIČENÍ)
