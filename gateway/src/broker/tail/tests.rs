use std::sync::Arc;
use std::sync::Mutex as StdMutex;

use tidegate_cluster::history::Entry;
use tidegate_protocol::position::Epoch;
use tidegate_protocol::time::Millis;
use tokio::sync::Semaphore;

use super::*;

/// A history whose answers wait until they are let through, and what it was asked.
struct Stream {
    oldest: u64,
    head: u64,
    entries_max: usize,
    gate: Semaphore,
    asked: StdMutex<Vec<Option<u64>>>,
}

fn at(offset: u64) -> Position {
    Position { epoch: Epoch::new(7), offset }
}

fn channel() -> ChannelName {
    ChannelName::parse("room:1").unwrap()
}

impl Stream {
    fn new(oldest: u64, head: u64) -> Arc<Self> {
        let (gate, asked) = (Semaphore::new(0), StdMutex::default());
        Arc::new(Self { oldest, head, entries_max: 1_000, gate, asked })
    }

    async fn read(&self, after: Option<Position>) -> Result<Page, ErrorBody> {
        self.asked.lock().unwrap().push(after.map(|after| after.offset));
        self.gate.acquire().await.unwrap().forget();
        let first = after.map_or(self.head, |after| after.offset) + 1;
        let coverage = match first {
            first if first < self.oldest || first > self.head + 1 => Coverage::Lost,
            first if (self.head + 1 - first) as usize > self.entries_max => Coverage::More,
            _ => Coverage::Complete,
        };
        let entry = |offset| Entry {
            offset,
            tag: None,
            at: Millis::new(0),
            data: Arc::from(*b"1"),
            from: None,
            conflate: None,
            trace: None,
        };
        let entries = match coverage {
            Coverage::Lost => Vec::new(),
            Coverage::Complete | Coverage::More => (first..=self.head).map(entry).collect(),
        };
        Ok(Page { head: at(self.head), head_tag: None, entries, coverage })
    }

    /// What each of those who come at once is answered: whether it is complete, and the offsets.
    async fn ask(self: &Arc<Self>, after: &[Option<u64>]) -> Vec<(Option<bool>, Vec<u64>)> {
        let tails = Arc::new(Tails::default());
        let mut asking = Vec::new();
        for &after in after {
            let (stream, tails) = (Arc::clone(self), Arc::clone(&tails));
            asking.push(tokio::spawn(async move {
                tails.read(&channel(), after.map(at), |after| stream.read(after)).await
            }));
            tokio::task::yield_now().await;
        }
        self.gate.add_permits(1_000);
        let mut answers = Vec::new();
        for asked in asking {
            let past = asked.await.unwrap().unwrap();
            answers.push((past.recovered, past.replay.iter().map(|replayed| replayed.offset).collect()));
        }
        assert_eq!(tails.lock().len(), 0, "nothing is left under way");
        assert_eq!(tails.counts().1, after.len() as u64);
        answers
    }

    fn asked(&self) -> Vec<Option<u64>> {
        self.asked.lock().unwrap().clone()
    }
}

#[tokio::test]
async fn those_who_come_while_one_reads_share_the_next_reading_from_the_earliest_of_their_positions() {
    let stream = Stream::new(1, 9);
    let answers = stream.ask(&[Some(8), Some(6), Some(9), Some(4), Some(7), None]).await;
    let complete = |offsets: &[u64]| (Some(true), offsets.to_vec());
    assert_eq!(
        answers,
        [
            complete(&[9]),
            complete(&[7, 8, 9]),
            complete(&[]),
            complete(&[5, 6, 7, 8, 9]),
            complete(&[8, 9]),
            (None, vec![])
        ]
    );
    assert_eq!(stream.asked(), [Some(8), Some(4)]);
}

#[tokio::test]
async fn what_is_lost_for_one_is_read_for_the_others_in_few_steps() {
    let stream = Stream::new(50, 100);
    let positions: Vec<_> = (0..100).map(Some).collect();
    let answers = stream.ask(&positions).await;
    for (after, (recovered, offsets)) in answers.into_iter().enumerate() {
        let is_kept = after + 1 >= 50;
        assert_eq!(recovered, Some(is_kept), "{after}");
        assert_eq!(offsets.len(), if is_kept { 100 - after } else { 0 }, "{after}");
    }
    assert!(stream.asked().len() <= 2 + 7, "{:?}", stream.asked());
}

#[tokio::test]
async fn a_reader_that_is_dropped_leaves_its_place_to_the_next() {
    let (stream, tails) = (Stream::new(1, 9), Arc::new(Tails::default()));
    let ask = |after| {
        let (stream, tails) = (Arc::clone(&stream), Arc::clone(&tails));
        tokio::spawn(async move { tails.read(&channel(), Some(at(after)), |after| stream.read(after)).await })
    };
    let first = ask(3);
    tokio::task::yield_now().await;
    let (second, third) = (ask(5), ask(4));
    tokio::task::yield_now().await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    stream.gate.add_permits(9);
    assert_eq!(second.await.unwrap().unwrap().replay.len(), 4);
    assert_eq!(third.await.unwrap().unwrap().replay.len(), 5);
    assert_eq!(stream.asked(), [Some(3), Some(4)]);
}

#[tokio::test]
async fn positions_of_another_epoch_or_beyond_the_head_are_not_recovered() {
    let stream = Stream::new(1, 9);
    stream.gate.add_permits(9);
    let tails = Tails::default();
    let other = Position { epoch: Epoch::new(8), offset: 3 };
    for after in [other, at(10)] {
        let past = tails.read(&channel(), Some(after), |after| stream.read(after)).await.unwrap();
        assert_eq!((past.recovered, past.replay.len(), past.head), (Some(false), 0, at(9)));
    }
}
