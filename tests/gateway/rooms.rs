//! A bridge to a room of a real home server (Synapse, as PyPI has it): threads, answers, and whoever listens is killed.
//! Where there is no Synapse in `target/synapse` the story says so and is not told.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result};
use hyper::Method;
use lifeboat::https::{Ask, Https};
use lifeboat::model::limits;
use lifeboat::tls::outgoing;
use lifeboat::{clock, durable};
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use crate::bridges::begun;
use crate::harness::ears::{send, texts};
use crate::harness::stage::{Stage, play};
use crate::harness::{skipped, tell, until, until_within};

/// A home server in a folder of its own; it ends with this.
struct Home {
    url: String,
    https: Https,
    _process: Child,
}

/// Somebody with an account there.
struct Person {
    name: String,
    token: String,
}

fn python() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/synapse/bin/python");
    path.exists().then_some(path)
}

impl Home {
    async fn open(python: &Path, folder: &Path) -> Result<Home> {
        std::fs::create_dir_all(folder)?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let at = |name: &str| folder.join(name).display().to_string();
        let config = json!({
            "server_name": "rooms.test", "report_stats": false, "pid_file": at("pid"),
            "listeners": [{"port": port, "type": "http", "bind_addresses": ["127.0.0.1"],
                "resources": [{"names": ["client"]}]}],
            "database": {"name": "sqlite3", "args": {"database": at("home.db")}},
            "media_store_path": at("media"), "signing_key_path": at("signing.key"),
            "log_config": at("log.yaml"), "macaroon_secret_key": "of-this-story", "form_secret": "of-this-story",
            "trusted_key_servers": [], "suppress_key_server_warning": true,
            "enable_registration": true, "enable_registration_without_verification": true,
            "rc_message": {"per_second": 1000, "burst_count": 1000},
            "rc_registration": {"per_second": 1000, "burst_count": 1000},
        });
        let log = json!({"version": 1, "root": {"level": "ERROR"}});
        std::fs::write(folder.join("log.yaml"), log.to_string())?;
        // YAML takes JSON as it is.
        let file = folder.join("home.yaml");
        std::fs::write(&file, config.to_string())?;
        let run = |more: &[&str]| {
            let mut command = Command::new(python);
            command
                .args(["-m", "synapse.app.homeserver", "-c"])
                .arg(&file);
            command.args(more).current_dir(folder);
            command.stdout(Stdio::null()).stderr(Stdio::null());
            command.kill_on_drop(true);
            command
        };
        run(&["--generate-keys"]).status().await?;
        let home = Home {
            url: format!("http://127.0.0.1:{port}"),
            https: Https::new(outgoing::connector(None)?),
            _process: run(&[]).spawn()?,
        };
        until("the home server answers", async || {
            Ok(home.ask(Method::GET, "versions", "", None).await.ok())
        })
        .await?;
        Ok(home)
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        token: &str,
        body: Option<&Value>,
    ) -> Result<Value> {
        let root = match path {
            "versions" => "_matrix/client",
            _ => "_matrix/client/v3",
        };
        let url = format!("{}/{root}/{path}", self.url);
        let mut ask = Ask::with_json(method, url, format!("Bearer {token}"), body);
        if token.is_empty() {
            // It refuses an empty one where it wants none.
            ask.headers.retain(|it| it.0 != "authorization");
        }
        let answer = self.https.ask(ask).await;
        let answer = answer.map_err(|why| anyhow::anyhow!("{path}: {why:?}"))?;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        anyhow::ensure!(answer.is_good(), "{path}: {}: {text}", answer.status);
        serde_json::from_str(&text).with_context(|| text.clone())
    }

    async fn person(&self, name: &str) -> Result<Person> {
        let body = json!({"username": name, "password": "of-this-story", "auth": {"type": "m.login.dummy"}});
        let made = self.ask(Method::POST, "register", "", Some(&body)).await?;
        let text = |part: &str| made[part].as_str().map(str::to_owned).context("not made");
        Ok(Person {
            name: text("user_id")?,
            token: text("access_token")?,
        })
    }

    /// Says something, in a thread where one is named.
    async fn say(
        &self,
        who: &Person,
        room: &str,
        key: &str,
        text: &str,
        thread: Option<&str>,
    ) -> Result<()> {
        let mut event = json!({"msgtype": "m.text", "body": text});
        if let Some(thread) = thread {
            event["m.relates_to"] = json!({"rel_type": "m.thread", "event_id": thread});
        }
        let path = format!("rooms/{room}/send/m.room.message/{key}");
        self.ask(Method::PUT, &path, &who.token, Some(&event))
            .await?;
        Ok(())
    }

    /// What somebody said in the room, oldest first: the event's id, and its text.
    async fn said(&self, by: &Person, room: &str) -> Result<Vec<(String, String)>> {
        let path = format!("rooms/{room}/messages?dir=b&limit=100");
        let page = self.ask(Method::GET, &path, &by.token, None).await?;
        let all = page["chunk"].as_array().context("no events")?;
        let text = |it: &Value| it.as_str().unwrap_or_default().to_owned();
        let mine = all
            .iter()
            .rev()
            .filter(|it| it["type"] == "m.room.message" && it["sender"] == *by.name);
        Ok(mine
            .map(|it| (text(&it["event_id"]), text(&it["content"]["body"])))
            .collect())
    }
}

/// Which node listens in the room, once one does and has heard up to now.
async fn listener(stage: &Stage, ask: usize) -> Result<usize> {
    let name = until("a node listens", async || {
        let listed = stage.nodes[ask].json(&["bridge", "list"]).await?;
        Ok(listed["bridges"][0]["listener"].as_str().map(str::to_owned))
    })
    .await?;
    for (place, node) in stage.nodes.iter().enumerate() {
        if node
            .status()
            .await
            .is_ok_and(|it| it["node"]["id"] == *name)
        {
            return Ok(place);
        }
    }
    anyhow::bail!("nobody is {name}")
}

async fn has(stage: &Stage, place: usize, code: &str, wanted: &[&str]) -> Result<Option<()>> {
    let all = stage.nodes[place]
        .json(&["conversations", "show", code])
        .await?;
    Ok((texts(&all["messages"]) == wanted).then_some(()))
}

/// Two accounts, a room that both are in, and a bridge to it.
struct Scene {
    home: Home,
    boat: Person,
    jana: Person,
    /// The room's id as a segment of a path.
    room: String,
}

impl Scene {
    async fn set(stage: &Stage, python: &Path) -> Result<Scene> {
        let home = Home::open(python, &stage.folder().join("home")).await?;
        let (boat, jana) = (home.person("boat").await?, home.person("jana").await?);
        let body = json!({"preset": "private_chat", "invite": [jana.name]});
        let made = home
            .ask(Method::POST, "createRoom", &boat.token, Some(&body))
            .await?;
        let id = made["room_id"].as_str().context("no room")?.to_owned();
        let room = id.replace('!', "%21").replace(':', "%3A");
        let join = format!("rooms/{room}/join");
        home.ask(Method::POST, &join, &jana.token, Some(&json!({})))
            .await?;
        home.say(&jana, &room, "before", "Is this on?", None)
            .await?;
        let file = |name: &str, text: &str| -> Result<String> {
            let path = stage.folder().join(name);
            durable::write_secret_durably(&path, text.as_bytes())?;
            Ok(path.display().to_string())
        };
        let (url, token) = (
            file("home.url", &home.url)?,
            file("home.token", &boat.token)?,
        );
        let add = ["bridge", "add", "room", "--kind", "matrix", "--room", &id];
        let more = [
            "--url-file",
            &url,
            "--secret-file",
            &token,
            "--senders",
            &jana.name,
        ];
        stage.nodes[0].done(&[&add[..], &more].concat()).await?;
        let tried = stage.nodes[1].json(&["bridge", "test", "room"]).await?;
        anyhow::ensure!(tried["good"] == true, "{tried}");
        Ok(Scene {
            home,
            boat,
            jana,
            room,
        })
    }

    async fn jana_says(&self, key: &str, text: &str, thread: Option<&str>) -> Result<()> {
        self.home
            .say(&self.jana, &self.room, key, text, thread)
            .await
    }

    /// The event that carries this text.
    async fn carried(&self, text: &str) -> Result<String> {
        until("it is in the room", async || {
            let said = self.home.said(&self.boat, &self.room).await?;
            let found = said.into_iter().find(|it| it.1.ends_with(text));
            Ok(found.map(|it| it.0))
        })
        .await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p1_a_room_of_a_real_home_server_is_heard_although_the_node_that_listens_is_killed()
-> Result<()> {
    let Some(python) = python() else {
        skipped(
            "rooms",
            "there is no Synapse in target/synapse (python3 -m venv target/synapse; target/synapse/bin/pip install matrix-synapse)",
        );
        return Ok(());
    };
    play(3, async |stage| {
        let scene = Scene::set(stage, &python).await?;
        let (path, code) = begun(stage, 0, "My site is gone.").await?;
        let root = scene.carried("My site is gone.").await?;
        let dying = listener(stage, 0).await?;
        scene.jana_says("one", "We look.", Some(&root)).await?;
        until("the answer is the customer's", async || {
            has(stage, 1, &code, &["My site is gone.", "We look."]).await
        })
        .await?;

        stage.nodes[dying].kill().await?;
        let rest = stage.others(&[dying]);
        for number in 1..=25 {
            // More than one answer of the home server holds.
            let key = format!("aside{number}");
            scene.jana_says(&key, "Who has coffee?", None).await?;
        }
        scene
            .jana_says("two", "It is the power.", Some(&root))
            .await?;
        let by_code = format!("{code}: It is back.");
        scene.jana_says("three", &by_code, None).await?;
        let began = clock::monotonic();
        let mut wanted = vec![
            "My site is gone.",
            "We look.",
            "It is the power.",
            "It is back.",
        ];
        let within = Duration::from_millis(2 * limits::BRIDGE_LISTEN_MS);
        until_within("another node hears what was missed", within, async || {
            has(stage, rest[0], &code, &wanted).await
        })
        .await?;
        tell(&format!(
            "heard by another node {:?} after the kill",
            began.elapsed()
        ));
        let said = ("00112233445566778899aabbccddee03", "Thank you.");
        send(&stage.ca(), stage.nodes[rest[1]].https(), &path, said).await?;
        wanted.push("Thank you.");
        stage.nodes[dying].up().await?;
        scene.carried("Thank you.").await?;
        until("the node that died has all of it", async || {
            has(stage, dying, &code, &wanted).await
        })
        .await?;
        let said = scene.home.said(&scene.boat, &scene.room).await?;
        let carried = said.iter().filter(|it| it.1.starts_with('[')).count();
        anyhow::ensure!(carried == 2, "{said:?}");
        Ok(())
    })
    .await
}
