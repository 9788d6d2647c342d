//! Is the state consistent with itself? Asked by tests, of every snapshot, and by `lifeboat check`.

use imbl::OrdSet;

use super::{
    State, bridge,
    command::FORMAT,
    dns::{Zone, serial_after},
    domain::DomainName,
    failover::Switchable,
    gauge,
    incident::Wording,
    keeper::Place,
    limits, mail_key,
    notice::{self, Standing},
    vault,
    words::Label,
};

impl State {
    /// Says everything about the state that contradicts itself. Empty when all is well.
    ///
    /// Takes time in proportion to the state; run it on a clone, away from the readers.
    pub fn check(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        self.check_conversations(&mut wrong);
        self.check_outbox(&mut wrong);
        self.check_sites(&mut wrong);
        self.check_answers(&mut wrong);
        self.check_zones(&mut wrong);
        self.check_services(&mut wrong);
        self.people.check(&mut wrong);
        self.check_incidents(&mut wrong);
        self.check_keepers(&mut wrong);
        self.check_notices(&mut wrong);
        self.check_directory(&mut wrong);
        self.check_certificates(&mut wrong);
        mail_key::check(self, &mut wrong);
        gauge::check(self, &mut wrong);
        vault::check(self, &mut wrong);
        bridge::check(self, &mut wrong);
        self.check_talks(&mut wrong);
        self.check_names(&mut wrong);
        self.check_returns(&mut wrong);
        self.check_record(&mut wrong);
        self.check_wakings(&mut wrong);
        self.check_alerts(&mut wrong);
        self.check_effects(&mut wrong);
        self.check_rules(&mut wrong);
        self.check_synthetics(&mut wrong);
        self.check_drills(&mut wrong);
        self.check_playbooks(&mut wrong);
        self.check_files(&mut wrong);
        for voter in self
            .voters
            .iter()
            .filter(|it| self.cluster.is_some() && !self.nodes.contains_key(*it))
        {
            wrong.push(format!("nodes: voter {voter} was never admitted"));
        }
        for (id, node) in &self.nodes {
            if node.facts.format > FORMAT && self.voters.contains(id) {
                // A newer node is fine during an upgrade; only an entry we cannot read would be wrong.
                continue;
            }
            if id.0 > self.index && id.0 != 1 {
                wrong.push(format!(
                    "nodes: {id} was admitted in the future of entry {}",
                    self.index
                ));
            }
        }
        wrong
    }

    fn check_incidents(&self, wrong: &mut Vec<String>) {
        for (id, incident) in &self.incidents.all {
            let mut say = |what: &str| wrong.push(format!("incident {id}: {what}"));
            if incident.titles.is_empty() || incident.updates.is_empty() {
                say("has no title or says nothing");
            }
            if incident.generation > self.index {
                say("was changed in the future");
            }
            if incident.stage.is_end() != incident.ended.is_some() {
                say("its stage and its end contradict each other");
            }
            if incident.stage.is_of_maintenance() != incident.window.is_some() {
                say("its stage is not of its kind");
            }
            if incident.next_by.is_some() && !incident.goes_on() {
                say("promises an update though it is over");
            }
            for update in &incident.updates {
                let current = |it: &Wording| it.revision == update.revision;
                if !update.wordings.values().any(current) {
                    say("no language has an update's newest wording");
                }
                // Whatever raised a revision is in the edits: nothing was corrected silently.
                if (update.edits.len() as u64) + 1 < u64::from(update.revision) {
                    say("an update was changed without a trace");
                }
            }
            let known = |it: &&Label| self.incidents.components.contains_key(*it);
            if incident.goes_on() && !incident.affected.keys().all(|it| known(&it)) {
                say("affects a component that is not there");
            }
        }
    }

    fn check_notices(&self, wrong: &mut Vec<String>) {
        for (name, channel) in &self.notices.channels {
            if channel.facts.means.needs_secret() != channel.secret.is_some() {
                wrong.push(format!(
                    "channel {name}: has a secret that it does not need, or lacks one"
                ));
            }
        }
        let mut carried = OrdSet::new();
        for (id, notice) in self.notices.open() {
            let mut say = |what: &str| wrong.push(format!("notice {id}: {what}"));
            if !self.notices.channels.contains_key(&notice.channel) {
                say("goes through a channel that is not there");
            }
            if let Standing::Queued(item) = notice.standing {
                let kind = self.outbox.get(&item).map(|it| &it.kind);
                if kind.and_then(notice::of_item) != Some(id) {
                    say("waits as an item that is not in the outbox");
                }
                carried.insert(item);
            }
        }
        for (item, it) in &self.outbox {
            if notice::of_item(&it.kind).is_some() && !carried.contains(item) {
                wrong.push(format!("outbox item {item}: carries a notice that ended"));
            }
        }
    }

    fn check_certificates(&self, wrong: &mut Vec<String>) {
        let certificates = &self.certificates;
        for (name, authority) in &certificates.authorities {
            if authority.binding.is_some() != authority.facts.binding_id.is_some() {
                wrong.push(format!(
                    "authority {name}: a binding key and its name go together"
                ));
            }
        }
        for (name, it) in &certificates.all {
            let mut say = |what: &str| wrong.push(format!("certificate {name}: {what}"));
            let known = |it: &Label| certificates.authorities.contains_key(it);
            if it.wanted.hosts.is_empty() || !it.wanted.authorities.iter().all(known) {
                say("is for no host, or from an authority that is not there");
            }
            if it.lease.is_none() && !(it.challenges.is_empty() && it.texts.is_empty()) {
                say("shows something though nobody orders it");
            }
            if it.lease.is_some_and(|lease| lease.epoch > self.index) {
                say("was leased in the future");
            }
            if (it.attempts > 0) != it.trouble.is_some() {
                say("its attempts and its trouble contradict each other");
            }
        }
    }

    fn check_directory(&self, wrong: &mut Vec<String>) {
        let directory = &self.directory;
        for version in directory.wanted.iter().chain(&directory.live) {
            if !directory.versions.contains_key(version) {
                wrong.push(format!(
                    "directory: {version} is wanted or live but not there"
                ));
            }
        }
        for hash in directory.blobs() {
            if self.blobs.get(&hash).is_none_or(|it| it.released.is_some()) {
                wrong.push(format!("directory: the blob {hash} is not kept"));
            }
        }
        let newest = directory.erased.values().max().copied();
        if newest.unwrap_or_default() > directory.erased_last {
            wrong.push("directory: an erasure is not known as the last".to_owned());
        }
    }

    fn check_names(&self, wrong: &mut Vec<String>) {
        for (zone, roll) in &self.names.rolls {
            let known = self.dns.zones.get(zone).and_then(|it| it.live.as_ref());
            if known.is_none_or(|it| it.generation < roll.generation) {
                wrong.push(format!(
                    "names: {zone} was asked about what was never answered"
                ));
            }
            if roll.complete.is_some() && roll.lagging().next().is_some() {
                wrong.push(format!("names: {zone} is complete although a server lags"));
            }
        }
    }

    fn check_keepers(&self, wrong: &mut Vec<String>) {
        for (name, keeper) in &self.keepers.all {
            let mut say = |what: &str| wrong.push(format!("keeper {name}: {what}"));
            let by_update = matches!(keeper.facts.place, Place::Update { .. });
            if by_update == keeper.secret.is_some() {
                say("has a secret that it does not need, or lacks one");
            }
            if let Place::Update { key, .. } = &keeper.facts.place
                && !self.dns.keys.contains_key(key)
            {
                say("signs with a key that is not there");
            }
            if keeper.generation > self.index {
                say("was changed in the future");
            }
            for ((owner, rtype), kept) in &keeper.sets {
                let data = kept.known.iter().chain(&kept.tried);
                let found = kept.found.iter().map(|it| &it.data);
                if data.chain(found).any(|it| !it.is_sorted()) {
                    say(&format!("what is known of {owner} {rtype} is out of order"));
                }
                if kept.tried.iter().any(Vec::is_empty) {
                    say(&format!("was to empty {owner} {rtype}"));
                }
            }
        }
    }

    fn check_conversations(&self, wrong: &mut Vec<String>) {
        for (id, conversation) in &self.conversations {
            if !self
                .tickets
                .get(&conversation.ticket)
                .is_some_and(|it| it.contains(id))
            {
                wrong.push(format!(
                    "conversation {id}: its ticket code does not lead to it"
                ));
            }
            if conversation.messages.is_empty()
                || conversation.messages.len() > limits::CONVERSATION_MESSAGES_MAX
            {
                wrong.push(format!(
                    "conversation {id}: holds {} messages",
                    conversation.messages.len()
                ));
            }
            let mut last = 0;
            for message in &conversation.messages {
                if message.index <= last {
                    wrong.push(format!(
                        "conversation {id}: message of entry {} comes after entry {last}",
                        message.index
                    ));
                }
                last = message.index;
                if !self.answers.contains_key(&message.id) {
                    wrong.push(format!(
                        "conversation {id}: the answer to message {} is forgotten",
                        message.id
                    ));
                }
            }
        }
        for (ticket, ids) in &self.tickets {
            if ids.iter().any(|it| !self.conversations.contains_key(it)) {
                wrong.push(format!(
                    "ticket {ticket}: leads to a conversation that is not there"
                ));
            }
        }
    }

    fn check_outbox(&self, wrong: &mut Vec<String>) {
        let (due, held) = (self.outbox_due.len(), self.held.items.len());
        if self.outbox.len() != due + held {
            wrong.push(format!(
                "outbox: {} items but {due} due times and {held} held",
                self.outbox.len()
            ));
        }
        for (id, item) in &self.outbox {
            if self.outbox_due.contains(&(item.due, *id)) == self.held.items.contains_key(id) {
                wrong.push(format!(
                    "outbox: item {id} is due at no time, or held and due"
                ));
            }
            let conversation = item.kind.conversation();
            if conversation.is_some_and(|it| !self.conversations.contains_key(&it)) {
                wrong.push(format!(
                    "outbox: item {id} belongs to a conversation that is not there"
                ));
            }
        }
    }

    fn check_sites(&self, wrong: &mut Vec<String>) {
        for version in self.sites.wanted.iter().chain(&self.sites.live) {
            if !self.sites.versions.contains_key(version) {
                wrong.push(format!(
                    "site: version {version} is wanted or live but not there"
                ));
            }
        }
        for (version, site) in &self.sites.versions {
            let bundle = self.blobs.get(&site.bundle);
            if bundle.is_none_or(|it| it.released.is_some()) {
                wrong.push(format!("site: the bundle of version {version} is not kept"));
            }
        }
    }

    fn check_record(&self, wrong: &mut Vec<String>) {
        let audit = &self.audit;
        if !audit.verifies() {
            wrong.push("audit: the lines do not lead to the head of the chain".to_owned());
        }
        if audit.lines.len() > limits::AUDIT_LINES_MAX {
            wrong.push(format!("audit: holds {} lines", audit.lines.len()));
        }
        for hash in audit.blobs() {
            if self.blobs.get(&hash).is_none_or(|it| it.released.is_some()) {
                wrong.push(format!("audit: the blob {hash} is not kept"));
            }
        }
        let mut after = 0;
        for segment in &audit.segments {
            if segment.first < after || segment.lines == 0 {
                wrong.push(format!(
                    "audit: the segment from {} overlaps",
                    segment.first
                ));
            }
            after = segment.first + u64::from(segment.lines);
        }
        if after > audit.first() {
            wrong.push("audit: lines that left are still there".to_owned());
        }
    }

    fn check_answers(&self, wrong: &mut Vec<String>) {
        for (at, id) in &self.answers_expiring {
            if !self.answers.contains_key(id) {
                wrong.push(format!(
                    "answers: {id} expires at {} but is not there",
                    at.0
                ));
            }
        }
        if self.answers_expiring.len() > limits::ANSWERS_MAX {
            wrong.push(format!(
                "answers: {} wait to expire",
                self.answers_expiring.len()
            ));
        }
    }

    fn check_zones(&self, wrong: &mut Vec<String>) {
        for (name, zone) in &self.dns.zones {
            let waits = self.dns.waiting.contains(name);
            if waits != zone.wanted.is_some() {
                wrong.push(format!("zone {name}: is listed as waiting wrongly"));
            }
            for edition in zone.contents() {
                let blob = self.blobs.get(&edition.part.blob);
                if blob.is_none_or(|it| it.released.is_some()) {
                    let generation = edition.generation;
                    wrong.push(format!("zone {name}: content {generation} is not kept"));
                }
            }
            let serials: Vec<u32> = zone
                .kept
                .iter()
                .chain(&zone.live)
                .map(|it| it.serial)
                .collect();
            if serials.windows(2).any(|it| !serial_after(it[1], it[0])) {
                wrong.push(format!("zone {name}: its serial went back: {serials:?}"));
            }
            if let (Some(signing), Some(live)) = (&zone.signing, &zone.live)
                && !live
                    .signed
                    .as_ref()
                    .is_some_and(|it| it.keys.iter().eq(signing.keys.keys()) && !it.keys.is_empty())
            {
                wrong.push(format!(
                    "zone {name}: is not answered as it is to be signed"
                ));
            }
            if zone.signing.is_none() && zone.live.as_ref().is_some_and(|it| it.signed.is_some()) {
                wrong.push(format!("zone {name}: is signed by nobody"));
            }
            check_over(name, zone, wrong);
        }
        if let Some(name) = self
            .dns
            .waiting
            .iter()
            .find(|it| !self.dns.zones.contains_key(*it))
        {
            wrong.push(format!("zone {name}: waits but is not there"));
        }
    }

    fn check_services(&self, wrong: &mut Vec<String>) {
        for (name, service) in &self.failover.services {
            let pinned = service.pin_at(self.now).map(|it| &it.to);
            for answering in [Some(&service.answering), pinned].into_iter().flatten() {
                if !service.can_answer(answering) {
                    wrong.push(format!("service {name}: cannot answer {answering}"));
                }
            }
            if pinned.is_some_and(|it| *it != service.answering) {
                wrong.push(format!("service {name}: does not answer what is pinned"));
            }
            self.check_laid(service, wrong);
        }
        for ((service, target), _) in &self.health.votes {
            let known = self.failover.services.get(service);
            if known.is_none_or(|it| !it.targets.contains_key(target)) {
                wrong.push(format!(
                    "votes: on {target} of {service}, which is not there"
                ));
            }
        }
    }

    /// What a service answers is what its zones answer (P4).
    fn check_laid(&self, service: &Switchable, wrong: &mut Vec<String>) {
        let records = service.records(&service.answering);
        if records.is_empty() {
            wrong.push(format!("service {}: answers nothing", service.name));
        }
        for set in records {
            let Some((apex, zone)) = self.dns.zone_of(&set.name) else {
                if self.keepers.zone_of(&set.name).is_some() {
                    continue;
                }
                wrong.push(format!(
                    "service {}: {} is in no zone",
                    service.name, set.name
                ));
                continue;
            };
            let Some(live) = &zone.live else {
                continue;
            };
            if live.over.get(&(set.name.clone(), set.rtype)) != Some(&set) {
                wrong.push(format!(
                    "service {}: the zone {apex} does not answer {} {} as it should",
                    service.name, set.name, set.rtype
                ));
            }
        }
    }
}

fn check_over(name: &DomainName, zone: &Zone, wrong: &mut Vec<String>) {
    for published in zone.kept.iter().chain(&zone.live) {
        for ((owner, rtype), set) in &published.over {
            if set.rdata.is_empty() || set.name != *owner || set.rtype != *rtype {
                wrong.push(format!(
                    "zone {name}: {owner} {rtype} is empty or misplaced"
                ));
            }
            if !owner.is_within(name) {
                wrong.push(format!("zone {name}: {owner} is laid over the wrong zone"));
            }
        }
    }
}
