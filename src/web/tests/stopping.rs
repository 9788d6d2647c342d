//! The stop: what is underway is finished, who idles is sent away, and the deadline holds.

use super::*;

#[tokio::test]
async fn a_stop_finishes_requests_in_flight_on_both_protocols() {
    let house = House::open().await;
    let mut client = house.h2().await;
    let over_h2 = tokio::spawn(async move {
        client
            .send_request(request("GET", OWN, "/write/slow"))
            .await
    });
    let mut stream = house.tls("http/1.1").await;
    let asked = format!("GET /write/slow HTTP/1.1\r\nhost: {OWN}\r\n\r\n");
    stream.write_all(asked.as_bytes()).await.unwrap();
    let mut idle = house.tls("http/1.1").await;
    house.until(|counters| &counters.routed, 2).await;
    house.stop.cancel();
    assert_eq!(answer_of(&mut idle).await, "");
    let until_refused = async { while TcpStream::connect(house.https).await.is_ok() {} };
    tokio::time::timeout(PATIENT, until_refused)
        .await
        .expect("nobody new is let in");
    assert!(!house.serving.is_finished());
    house.gate.add_permits(2);
    assert_eq!(body(&answer_of(&mut stream).await), "slow");
    let answer = over_h2.await.unwrap().unwrap();
    assert_eq!(text(answer).await, "slow");
    tokio::time::timeout(PATIENT, house.serving)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(house.counters.open.get(), 0);
}

#[tokio::test]
async fn a_stop_does_not_wait_beyond_its_deadline() {
    let house = House::with(|bounds| bounds.stop = Duration::from_millis(200)).await;
    let mut stream = house.tls("http/1.1").await;
    let asked = format!("GET /write/slow HTTP/1.1\r\nhost: {OWN}\r\n\r\n");
    stream.write_all(asked.as_bytes()).await.unwrap();
    let _silent = TcpStream::connect(house.https).await.unwrap();
    house.until(|counters| &counters.routed, 1).await;
    house.stop.cancel();
    tokio::time::timeout(PATIENT, house.serving)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(answer_of(&mut stream).await, "");
    assert_eq!(house.counters.open.get(), 0);
}
