//! A connection to a mail server that speaks in lines, in the clear and then encrypted, every step bounded in time.
//! TLS that is asked for is required: where it cannot be had there is no connection. Nothing here knows what a
//! message is, logs, or retries; any failure ends the connection.

use std::fmt;
use std::io;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;

use super::reply::{Offers, Reply, ReplyError};

/// How to reach one relay.
#[derive(Clone)]
pub struct Relay {
    /// Host name or IP address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Encryption and, where there is encryption, who we are.
    pub security: Security,
}

/// Encryption of the connection. A login exists only where there is encryption, so that a password cannot be sent
/// in the clear by mistake.
#[derive(Clone)]
pub enum Security {
    /// None; for a relay on the same machine or a private network.
    Clear,
    /// TLS, required.
    Tls {
        /// From the first byte (port 465) or after STARTTLS (port 587 or 25).
        start: TlsStart,
        /// The name the relay's certificate must carry.
        name: ServerName<'static>,
        /// Roots and versions; made in `tls`.
        connector: TlsConnector,
        /// Who we are, where the relay wants to know.
        login: Option<Login>,
    },
}

/// User and password at a relay. Cannot be printed.
#[derive(Clone)]
pub struct Login {
    /// The user name.
    pub user: String,
    /// The password.
    pub password: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login(..)")
    }
}

/// When encryption begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsStart {
    /// Before the greeting.
    AtOnce,
    /// With the STARTTLS command.
    Upgrade,
}

/// How long each step may take; RFC 5321, 4.5.3.2 has the longest sensible ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// TCP (all addresses of the host together) and TLS.
    pub connect: Duration,
    /// Greeting and each command.
    pub command: Duration,
    /// Each piece of the message on its way out.
    pub block: Duration,
    /// From the final dot to the answer. Cutting this short makes duplicates.
    pub answer: Duration,
}

/// Why there is no connection, or no longer.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// The host name has no address or the look-up failed.
    #[error("cannot look up {host}")]
    Lookup {
        /// The relay's host.
        host: String,
        #[source]
        source: io::Error,
    },
    /// No address of the relay accepted a connection.
    #[error("cannot connect to {host} port {port}")]
    Connect {
        /// The relay's host.
        host: String,
        /// The relay's port.
        port: u16,
        #[source]
        source: io::Error,
    },
    /// The TLS handshake failed: a wrong certificate, or no TLS at all.
    #[error("no TLS with {host}")]
    Tls {
        /// The relay's host.
        host: String,
        #[source]
        source: io::Error,
    },
    /// TLS is required and the relay does not offer it.
    #[error("the relay does not offer STARTTLS, which is required")]
    NoStartTls,
    /// Bytes arrived in the clear behind the answer to STARTTLS: somebody is on the line.
    #[error("the relay spoke in the clear after agreeing to STARTTLS")]
    Injected,
    /// A login is configured and the relay offers neither PLAIN nor LOGIN.
    #[error("the relay offers neither AUTH PLAIN nor AUTH LOGIN")]
    NoAuth,
    /// The relay said no to greeting, EHLO, STARTTLS or AUTH.
    #[error("the relay answered {step} with {status}")]
    Refused {
        /// What was asked.
        step: Step,
        /// Code and enhanced code.
        status: String,
    },
    /// No answer in time.
    #[error("no answer to {step} within {after:?}")]
    Silent {
        /// What was asked.
        step: Step,
        /// The time that was given.
        after: Duration,
    },
    /// The connection broke while writing.
    #[error("the connection broke during {step}")]
    Broken {
        /// What was asked.
        step: Step,
        #[source]
        source: io::Error,
    },
    /// The answer could not be read.
    #[error("no readable answer to {step}")]
    Unreadable {
        /// What was asked.
        step: Step,
        #[source]
        source: ReplyError,
    },
}

/// The steps of a session, for saying where one stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Waiting for the greeting.
    Greeting,
    /// EHLO.
    Hello,
    /// STARTTLS.
    StartTls,
    /// AUTH.
    Login,
    /// MAIL FROM.
    From,
    /// RCPT TO.
    To,
    /// DATA up to the go-ahead.
    Data,
    /// The message without its final dot.
    Message,
    /// The final dot.
    Dot,
    /// RSET.
    Reset,
    /// NOOP.
    Nothing,
    /// QUIT.
    Quit,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Step::Greeting => "the greeting",
            Step::Hello => "EHLO",
            Step::StartTls => "STARTTLS",
            Step::Login => "AUTH",
            Step::From => "MAIL",
            Step::To => "RCPT",
            Step::Data => "DATA",
            Step::Message => "the message",
            Step::Dot => "the final dot",
            Step::Reset => "RSET",
            Step::Nothing => "NOOP",
            Step::Quit => "QUIT",
        })
    }
}

/// The connection under a session: in the clear, or encrypted.
pub type Wire = Either<TcpStream, TlsStream<TcpStream>>;

/// A connection that speaks in lines.
pub struct Line<S> {
    stream: BufReader<S>,
    patience: Patience,
}

impl Line<Wire> {
    /// Connects, greets, encrypts and signs in as the relay asks; `hello` is our own host name.
    pub async fn open(
        relay: &Relay,
        hello: &str,
        patience: Patience,
    ) -> Result<(Self, Offers), LineError> {
        let tcp = connect(relay, patience.connect).await?;
        let Security::Tls {
            start,
            name,
            connector,
            login,
        } = &relay.security
        else {
            let mut line = Line::new(Either::Left(tcp), patience);
            line.greeting().await?;
            let offers = line.hello(hello).await?;
            return Ok((line, offers));
        };
        let tcp = match start {
            TlsStart::AtOnce => tcp,
            TlsStart::Upgrade => ask_for_tls(tcp, hello, patience).await?,
        };
        let failed = |source| LineError::Tls {
            host: relay.host.clone(),
            source,
        };
        let tls = tokio::time::timeout(patience.connect, connector.connect(name.clone(), tcp))
            .await
            .map_err(|elapsed| failed(elapsed.into()))?
            .map_err(failed)?;
        let mut line = Line::new(Either::Right(tls), patience);
        if *start == TlsStart::AtOnce {
            line.greeting().await?;
        }
        let offers = line.hello(hello).await?;
        if let Some(login) = login {
            line.sign_in(login, &offers).await?;
        }
        Ok((line, offers))
    }

    async fn sign_in(&mut self, login: &Login, offers: &Offers) -> Result<(), LineError> {
        if offers.auth_plain {
            let said = BASE64.encode(format!("\0{}\0{}", login.user, login.password));
            let reply = self
                .command(Step::Login, &format!("AUTH PLAIN {said}\r\n"))
                .await?;
            return done(Step::Login, reply).map(drop);
        }
        if !offers.auth_login {
            return Err(LineError::NoAuth);
        }
        let mut reply = self.command(Step::Login, "AUTH LOGIN\r\n").await?;
        // Every server asks for the user first; what it writes in its challenge varies, so it is not read.
        for said in [&login.user, &login.password] {
            if !reply.is_go_on() {
                break;
            }
            reply = self
                .command(Step::Login, &format!("{}\r\n", BASE64.encode(said)))
                .await?;
        }
        done(Step::Login, reply).map(drop)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Line<S> {
    fn new(stream: S, patience: Patience) -> Self {
        Line {
            stream: BufReader::new(stream),
            patience,
        }
    }

    /// Writes one command, which must end in CRLF, and reads the answer to it.
    pub async fn command(&mut self, step: Step, line: &str) -> Result<Reply, LineError> {
        let within = self.patience.command;
        self.write(step, line.as_bytes(), within).await?;
        self.reply(step, within).await
    }

    /// Writes several commands at once, for a server that takes them so (RFC 2920); the answers are read one by one.
    pub async fn commands(&mut self, step: Step, lines: &str) -> Result<(), LineError> {
        let within = self.patience.command;
        self.write(step, lines.as_bytes(), within).await
    }

    /// Reads the answer to one of several commands.
    pub async fn answer(&mut self, step: Step) -> Result<Reply, LineError> {
        self.reply(step, self.patience.command).await
    }

    /// Writes a piece of a message.
    pub async fn block(&mut self, bytes: &[u8]) -> Result<(), LineError> {
        self.write(Step::Message, bytes, self.patience.block).await
    }

    /// Ends a message and waits for the relay's word on it.
    pub async fn dot(&mut self) -> Result<Reply, LineError> {
        self.write(Step::Dot, b".\r\n", self.patience.block).await?;
        self.reply(Step::Dot, self.patience.answer).await
    }

    /// Says goodbye without waiting for the answer.
    pub async fn quit(&mut self) -> Result<(), LineError> {
        self.write(Step::Quit, b"QUIT\r\n", self.patience.command)
            .await
    }

    async fn greeting(&mut self) -> Result<(), LineError> {
        let reply = self.reply(Step::Greeting, self.patience.command).await?;
        done(Step::Greeting, reply).map(drop)
    }

    async fn hello(&mut self, name: &str) -> Result<Offers, LineError> {
        let reply = self
            .command(Step::Hello, &format!("EHLO {name}\r\n"))
            .await?;
        done(Step::Hello, reply).map(|reply| Offers::of(&reply))
    }

    async fn reply(&mut self, step: Step, within: Duration) -> Result<Reply, LineError> {
        match tokio::time::timeout(within, Reply::read(&mut self.stream)).await {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(source)) => Err(LineError::Unreadable { step, source }),
            Err(_) => Err(LineError::Silent {
                step,
                after: within,
            }),
        }
    }

    async fn write(&mut self, step: Step, bytes: &[u8], within: Duration) -> Result<(), LineError> {
        let stream = self.stream.get_mut();
        let written = tokio::time::timeout(within, async {
            stream.write_all(bytes).await?;
            stream.flush().await
        });
        match written.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(source)) => Err(LineError::Broken { step, source }),
            Err(_) => Err(LineError::Silent {
                step,
                after: within,
            }),
        }
    }
}

fn done(step: Step, reply: Reply) -> Result<Reply, LineError> {
    if reply.is_done() {
        Ok(reply)
    } else {
        Err(LineError::Refused {
            step,
            status: reply.status(),
        })
    }
}

async fn connect(relay: &Relay, within: Duration) -> Result<TcpStream, LineError> {
    let failed = |source: io::Error| LineError::Connect {
        host: relay.host.clone(),
        port: relay.port,
        source,
    };
    let attempt = async {
        let found = tokio::net::lookup_host((relay.host.as_str(), relay.port));
        let addresses = found.await.map_err(|source| LineError::Lookup {
            host: relay.host.clone(),
            source,
        })?;
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for address in addresses {
            match TcpStream::connect(address).await {
                Ok(tcp) => return Ok(tcp),
                Err(error) => last = error,
            }
        }
        Err(failed(last))
    };
    let tcp = tokio::time::timeout(within, attempt)
        .await
        .map_err(|elapsed| failed(elapsed.into()))??;
    // Nagle's algorithm with delayed acknowledgements costs 43 ms a message.
    tcp.set_nodelay(true).map_err(failed)?;
    Ok(tcp)
}

/// Greeting, EHLO and STARTTLS in the clear; gives back the bare connection to encrypt.
async fn ask_for_tls(
    tcp: TcpStream,
    hello: &str,
    patience: Patience,
) -> Result<TcpStream, LineError> {
    let mut line = Line::new(tcp, patience);
    line.greeting().await?;
    if !line.hello(hello).await?.starttls {
        return Err(LineError::NoStartTls);
    }
    let reply = line.command(Step::StartTls, "STARTTLS\r\n").await?;
    done(Step::StartTls, reply)?;
    // Bytes behind the answer were sent before encryption and would be believed as if they came after it.
    if !line.stream.buffer().is_empty() {
        return Err(LineError::Injected);
    }
    Ok(line.stream.into_inner())
}
