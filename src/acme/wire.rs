//! The library's requests over our own HTTPS client: bounded in time and size, and trusting whom the authority's record says.

use std::future::Future;
use std::io;
use std::pin::Pin;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};

use crate::https::{Failed, Https};

#[derive(Clone)]
/// Carries the library's requests.
pub struct Wire(pub Https);

impl HttpClient for Wire {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let https = self.0.clone();
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let Ok(body) = body.collect().await;
            let request = Request::from_parts(head, body.to_bytes());
            let answer = https.send(request).await.map_err(|failed| {
                let (Failed::NotSent(why) | Failed::Lost(why)) = failed;
                Error::Other(Box::new(io::Error::other(why)))
            })?;
            Ok(BytesResponse::from(answer.map(Full::new)))
        })
    }
}
