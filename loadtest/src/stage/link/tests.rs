use std::sync::mpsc;

use super::*;

#[test]
fn bytes_go_through_both_ways_in_fair_weather_and_so_does_the_end() {
    let link = Link::open(echo(), 1).unwrap();
    let mut client = TcpStream::connect(link.address()).unwrap();
    let sent: Vec<u8> = (0..200_000_u32).map(|at| at as u8).collect();
    let mut writer = client.try_clone().unwrap();
    let bytes = sent.clone();
    let writing = thread::spawn(move || {
        writer.write_all(&bytes).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let mut received = Vec::new();
    client.read_to_end(&mut received).unwrap();
    writing.join().unwrap();
    assert!(received == sent, "{} of {} bytes", received.len(), sent.len());
}

#[test]
fn a_cut_ends_what_is_there_and_what_comes_until_it_is_healed() {
    let link = Link::open(echo(), 1).unwrap();
    let mut before = TcpStream::connect(link.address()).unwrap();
    assert_eq!(ask(&mut before), *b"hello");
    link.set_weather(Some(Weather::Cut));
    assert!(is_ended(&mut before));
    assert!(is_ended(&mut TcpStream::connect(link.address()).unwrap()));
    link.set_weather(None);
    assert_eq!(ask(&mut TcpStream::connect(link.address()).unwrap()), *b"hello");
}

#[test]
fn what_is_held_comes_once_it_is_healed() {
    for direction in [Direction::Both, Direction::Out, Direction::In] {
        let link = Link::open(echo(), 1).unwrap();
        let mut client = TcpStream::connect(link.address()).unwrap();
        assert_eq!(ask(&mut client), *b"hello");
        link.set_weather(Some(Weather::Hold(direction)));
        client.write_all(b"hello").unwrap();
        client.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        assert!(client.read(&mut [0; 5]).is_err(), "{direction:?}: something came through");
        link.set_weather(None);
        client.set_read_timeout(None).unwrap();
        let mut answer = [0; 5];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"hello");
    }
}

#[test]
fn a_delay_and_a_narrow_link_take_at_least_their_time() {
    let link = Link::open(echo(), 1).unwrap();
    for weather in [
        Weather::Delay(Duration::from_millis(40)),
        // Five bytes at 100 a second, each way.
        Weather::Throttle(100),
        Weather::Loss { percent: 100.0 },
    ] {
        link.set_weather(Some(weather));
        let mut client = TcpStream::connect(link.address()).unwrap();
        let from = Instant::now();
        assert_eq!(ask(&mut client), *b"hello");
        assert_eq!(ask(&mut client), *b"hello");
        assert!(from.elapsed() >= Duration::from_millis(80), "{weather:?}: {:?}", from.elapsed());
    }
}

#[test]
fn a_reset_ends_the_connection() {
    let link = Link::open(echo(), 1).unwrap();
    let mut client = TcpStream::connect(link.address()).unwrap();
    link.set_weather(Some(Weather::Reset { percent: 100.0 }));
    client.write_all(b"hello").unwrap();
    assert!(is_ended(&mut client));
}

#[test]
fn a_link_that_leads_elsewhere_ends_what_led_there_before() {
    let (first, second) = (constant(b"first"), constant(b"other"));
    let link = Link::open(first, 1).unwrap();
    let mut client = TcpStream::connect(link.address()).unwrap();
    assert_eq!(ask(&mut client), *b"first");
    link.lead_to(second);
    assert!(is_ended(&mut client));
    assert_eq!(ask(&mut TcpStream::connect(link.address()).unwrap()), *b"other");
}

fn ask(client: &mut TcpStream) -> [u8; 5] {
    client.write_all(b"hello").unwrap();
    let mut answer = [0; 5];
    client.read_exact(&mut answer).unwrap();
    answer
}

fn is_ended(client: &mut TcpStream) -> bool {
    !matches!(client.read(&mut [0; 5]), Ok(1..))
}

fn echo() -> SocketAddr {
    serve(|bytes| bytes.to_vec())
}

fn constant(answer: &'static [u8]) -> SocketAddr {
    serve(move |_| answer.to_vec())
}

fn serve(answer: impl Fn(&[u8]) -> Vec<u8> + Clone + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, sockets) = mpsc::channel::<TcpStream>();
    thread::spawn(move || listener.incoming().flatten().for_each(|socket| sender.send(socket).unwrap()));
    thread::spawn(move || {
        for mut socket in sockets {
            let answer = answer.clone();
            thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(count @ 1..) = socket.read(&mut buffer) {
                    if socket.write_all(&answer(&buffer[..count])).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}
