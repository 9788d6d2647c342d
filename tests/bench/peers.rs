//! The programs we stand beside on the web: nginx and h2o with one worker each, the same certificate and suite, files
//! from the page cache.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Result;

use crate::machine::Server;
use crate::stage::Stage;

/// A web server beside ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    Nginx,
    H2o,
}

impl Peer {
    pub const ALL: [Peer; 2] = [Peer::Nginx, Peer::H2o];

    pub fn name(self) -> &'static str {
        match self {
            Peer::Nginx => "nginx",
            Peer::H2o => "h2o",
        }
    }

    /// Starts it.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn launch(self, stage: &Stage, port: u16) -> Result<(Server, SocketAddr)> {
        let at = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let folder = stage.fresh_folder(self.name())?;
        let config = folder.join("config");
        std::fs::write(
            &config,
            self.configuration(stage, &folder.to_string_lossy(), at),
        )?;
        let config = config.to_string_lossy();
        let words = match self {
            Peer::Nginx => ["nginx", "-e", "stderr", "-c", &config].to_vec(),
            Peer::H2o => ["h2o", "-m", "worker", "-c", &config].to_vec(),
        };
        let mut server = Server::start(self.name(), &words, &folder.join("log"))?;
        server.listens(at).await?;
        Ok((server, at))
    }

    fn configuration(self, stage: &Stage, folder: &str, at: SocketAddr) -> String {
        let (certificate, key, website) = (stage.certificate(), stage.key(), stage.website());
        let (certificate, key, website) = (certificate.display(), key.display(), website.display());
        let (address, port) = (at.ip(), at.port());
        match self {
            Peer::Nginx => format!(
                "daemon off; master_process off; pid {folder}/pid; error_log stderr; worker_rlimit_nofile 20000;\n\
                 events {{ worker_connections 12000; }}\n\
                 http {{\n\
                 access_log off; sendfile on; tcp_nopush on; open_file_cache max=100;\n\
                 keepalive_requests 100000000; keepalive_timeout 600;\n\
                 client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;\n\
                 uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;\n\
                 types {{ text/html html; text/plain txt; }}\n\
                 server {{\n\
                 listen {at} ssl http2 backlog=4096; root {website};\n\
                 ssl_certificate {certificate}; ssl_certificate_key {key}; ssl_protocols TLSv1.3;\n\
                 ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256; ssl_ecdh_curve X25519;\n\
                 ssl_session_tickets off;\n\
                 }}\n}}\n"
            ),
            Peer::H2o => format!(
                "num-threads: 1\nmax-connections: 12000\nhttp1-request-timeout: 600\nhttp2-idle-timeout: 600\n\
                 listen:\n  host: {address}\n  port: {port}\n  ssl:\n    certificate-file: {certificate}\n    \
                 key-file: {key}\n    minimum-version: TLSv1.3\nssl-session-resumption:\n  mode: off\n\
                 hosts:\n  default:\n    paths:\n      /:\n        file.dir: {website}\n"
            ),
        }
    }
}
