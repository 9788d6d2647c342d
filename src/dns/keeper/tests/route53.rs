//! Route 53's rules: XML, a signature, sets in the order of names, batches under the condition that what is removed is
//! exactly what is there, and changes that are pending at first.

use super::stand::{Asked, Row, Rules, Says, Stand, zone};
use super::{Desk, PRIMARY, TOKEN, every_provider, sets, url};
use crate::dns::keeper::sigv4::{Signed, Signer, sign};
use crate::dns::keeper::xml::Element;
use crate::model::{
    keeper::{Ending, Place},
    words::{Note, Timestamp},
};

struct Route53 {
    rows: Vec<Row>,
    /// Sets of a page.
    page: usize,
    /// How often a change is pending when it is asked for.
    pending: usize,
}

impl Route53 {
    fn new() -> Self {
        Self {
            rows: zone(),
            page: 100,
            pending: 0,
        }
    }

    fn grouped(&self) -> Vec<Vec<Row>> {
        let mut sets: Vec<Vec<Row>> = Vec::new();
        for row in &self.rows {
            let is_own = |it: &&mut Vec<Row>| it[0].name == row.name && it[0].rtype == row.rtype;
            match sets.iter_mut().find(is_own) {
                Some(set) => set.push(row.clone()),
                None => sets.push(vec![row.clone()]),
            }
        }
        // By labels from the right, then by type, as they list them.
        let order = |name: &str| name.split('.').rev().map(str::to_owned).collect::<Vec<_>>();
        sets.sort_by_key(|it| (order(&it[0].name), it[0].rtype.clone()));
        sets
    }

    fn listed(&self, asked: &Asked) -> Says {
        let order = |name: &str| name.split('.').rev().map(str::to_owned).collect::<Vec<_>>();
        let from = asked.part("name").unwrap();
        let from = (
            order(from.trim_end_matches('.')),
            asked.part("type").unwrap_or_default(),
        );
        let sets: Vec<Vec<Row>> = self
            .grouped()
            .into_iter()
            .filter(|it| (order(&it[0].name), it[0].rtype.clone()) >= from)
            .collect();
        let shown: String = sets.iter().take(self.page).map(|it| shown(it)).collect();
        let next = sets.get(self.page).map_or("<IsTruncated>false</IsTruncated>".to_owned(), |it| {
            format!(
                "<IsTruncated>true</IsTruncated><NextRecordName>{}.</NextRecordName><NextRecordType>{}</NextRecordType>",
                it[0].name, it[0].rtype
            )
        });
        Says::of(
            200,
            format!(
                "<?xml version=\"1.0\"?>\n<ListResourceRecordSetsResponse xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\"><ResourceRecordSets>{shown}</ResourceRecordSets>{next}<MaxItems>100</MaxItems></ListResourceRecordSetsResponse>"
            ),
        )
    }

    fn changed(&mut self, asked: &Asked) -> Says {
        let read = Element::read(&asked.body).unwrap();
        let changes = read.at(&["ChangeBatch", "Changes"]).unwrap();
        let mut sets = self.grouped();
        for change in changes.all("Change") {
            let set = change.at(&["ResourceRecordSet"]).unwrap();
            let name = set
                .text(&["Name"])
                .unwrap()
                .trim_end_matches('.')
                .to_owned();
            let rtype = set.text(&["Type"]).unwrap().to_owned();
            let ttl: u32 = set.text(&["TTL"]).unwrap().parse().unwrap();
            let records = set.at(&["ResourceRecords"]).unwrap();
            let rows: Vec<Row> = records
                .all("ResourceRecord")
                .map(|it| Row {
                    id: String::new(),
                    name: name.clone(),
                    rtype: rtype.clone(),
                    ttl,
                    value: it.text(&["Value"]).unwrap().to_owned(),
                })
                .collect();
            let plain = |rows: &[Row]| {
                let mut plain: Vec<(u32, String)> =
                    rows.iter().map(|it| (it.ttl, it.value.clone())).collect();
                plain.sort();
                plain
            };
            let at = sets
                .iter()
                .position(|it| it[0].name == name && it[0].rtype == rtype);
            match (change.text(&["Action"]).unwrap(), at) {
                ("DELETE", Some(at)) if plain(&sets[at]) == plain(&rows) => drop(sets.remove(at)),
                ("DELETE", Some(_)) => {
                    return invalid(
                        "Tried to delete resource record set but the values provided do not match the current values",
                    );
                }
                ("DELETE", None) => {
                    return invalid("Tried to delete resource record set but it was not found");
                }
                ("CREATE", None) => sets.push(rows),
                ("CREATE", Some(_)) => {
                    return invalid("Tried to create resource record set but it already exists");
                }
                other => panic!("{other:?}"),
            }
        }
        self.rows = sets.into_iter().flatten().collect();
        let status = if self.pending > 0 {
            "PENDING"
        } else {
            "INSYNC"
        };
        Says::of(
            200,
            format!(
                "<?xml version=\"1.0\"?>\n<ChangeResourceRecordSetsResponse xmlns=\"x\"><ChangeInfo><Id>/change/C1</Id><Status>{status}</Status><SubmittedAt>2026-01-01T00:00:00Z</SubmittedAt></ChangeInfo></ChangeResourceRecordSetsResponse>"
            ),
        )
    }
}

fn shown(set: &[Row]) -> String {
    let records: String = set
        .iter()
        .map(|it| {
            format!(
                "<ResourceRecord><Value>{}</Value></ResourceRecord>",
                it.value
            )
        })
        .collect();
    let (name, rtype, ttl) = (&set[0].name, &set[0].rtype, set[0].ttl);
    let name = name.replace('*', "\\052");
    format!(
        "<ResourceRecordSet><Name>{name}.</Name><Type>{rtype}</Type><TTL>{ttl}</TTL><ResourceRecords>{records}</ResourceRecords></ResourceRecordSet>"
    )
}

fn invalid(message: &str) -> Says {
    Says::of(
        400,
        format!(
            "<?xml version=\"1.0\"?>\n<InvalidChangeBatch xmlns=\"x\"><Messages><Message>{message}</Message></Messages><RequestId>r</RequestId></InvalidChangeBatch>"
        ),
    )
}

fn no(status: u16, code: &str, message: &str) -> Says {
    Says::of(
        status,
        format!(
            "<?xml version=\"1.0\"?>\n<ErrorResponse xmlns=\"x\"><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error><RequestId>r</RequestId></ErrorResponse>"
        ),
    )
}

impl Rules for Route53 {
    fn answer(&mut self, asked: &Asked) -> Says {
        // As they do: the signature is made again from what came, with the secret that belongs to the key.
        let signer = Signer {
            access_key: "AKIDEXAMPLE",
            secret_key: TOKEN,
            region: "us-east-1",
            service: "route53",
        };
        let signed = Signed {
            method: &asked.method,
            host: &asked.host,
            path: &asked.path,
            query: &asked.query,
            headers: &[],
            body: &asked.body,
        };
        let (_, wanted) = sign(&signer, &signed, moment(&asked.date));
        if asked.authorization != wanted {
            return no(
                403,
                "SignatureDoesNotMatch",
                "The request signature we calculated does not match the signature you provided.",
            );
        }
        match (asked.method.as_str(), asked.path.as_str()) {
            ("GET", "/api/2013-04-01/hostedzone/Z1") => Says::of(
                200,
                "<GetHostedZoneResponse><HostedZone><Id>/hostedzone/Z1</Id><Name>example.test.</Name></HostedZone></GetHostedZoneResponse>",
            ),
            ("GET", "/api/2013-04-01/hostedzone/Z1/rrset") => self.listed(asked),
            ("POST", "/api/2013-04-01/hostedzone/Z1/rrset") => self.changed(asked),
            ("GET", "/api/2013-04-01/change/C1") => {
                self.pending = self.pending.saturating_sub(1);
                let status = if self.pending > 0 {
                    "PENDING"
                } else {
                    "INSYNC"
                };
                Says::of(
                    200,
                    format!(
                        "<GetChangeResponse><ChangeInfo><Id>/change/C1</Id><Status>{status}</Status></ChangeInfo></GetChangeResponse>"
                    ),
                )
            }
            _ => no(404, "NoSuchHostedZone", "No hosted zone found with this ID"),
        }
    }

    fn rows(&mut self) -> &mut Vec<Row> {
        &mut self.rows
    }

    fn has_conditions(&self) -> bool {
        true
    }
}

/// The moment that a request says it was signed at.
fn moment(date: &str) -> Timestamp {
    let number = |from: usize, to: usize| date[from..to].parse::<u8>().unwrap();
    let day = time::Date::from_calendar_date(
        date[..4].parse().unwrap(),
        number(4, 6).try_into().unwrap(),
        number(6, 8),
    );
    let time = time::Time::from_hms(number(9, 11), number(11, 13), number(13, 15)).unwrap();
    let at = time::PrimitiveDateTime::new(day.unwrap(), time).assume_utc();
    Timestamp(u64::try_from(at.unix_timestamp()).unwrap() * 1_000)
}

fn desk(stand: &Stand, token: &str) -> Desk {
    let place = Place::Route53 {
        url: url(stand),
        zone_id: Note::new("Z1").unwrap(),
        access_key: Note::new("AKIDEXAMPLE").unwrap(),
    };
    Desk::at(place, token, &PRIMARY)
}

#[tokio::test]
async fn route_53_is_switched_and_read_back_whatever_is_lost() {
    let stand = Stand::new(Route53::new()).await;
    every_provider(&stand, desk(&stand, TOKEN), desk(&stand, "wrong-token")).await;
}

#[tokio::test]
async fn route_53s_pages_are_read_to_the_end_and_a_pending_change_is_waited_for() {
    let mut rules = Route53::new();
    rules.page = 1;
    rules.pending = 2;
    rules.rows.push(Row {
        id: String::new(),
        name: "*.example.test".to_owned(),
        rtype: "A".to_owned(),
        ttl: 60,
        value: "192.0.2.80".to_owned(),
    });
    let stand = Stand::new(rules).await;
    let mut desk = desk(&stand, TOKEN);
    desk.wanted = sets(&[&PRIMARY[..], &["*.example.test 60 A 192.0.2.80"]].concat());
    let there = desk.there().await;
    assert!(desk.is_done(&there), "{there:?}");
    // Of many names the whole zone is read.
    let many: Vec<String> = (0..8)
        .map(|it| format!("n{it}.example.test 60 A 192.0.2.1"))
        .collect();
    let many: Vec<&str> = many.iter().map(String::as_str).chain(PRIMARY).collect();
    desk.wanted = sets(&many);
    let there = desk.there().await;
    desk.wanted = sets(&PRIMARY);
    assert!(desk.is_done(&there), "{there:?}");
    let written = desk.switch(&["*.example.test 60 A 198.51.100.1"]).await;
    assert_eq!(written.ending, Ending::Confirmed, "{}", written.why);
}
