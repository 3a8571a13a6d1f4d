use std::cell::RefCell;
use std::time::Duration;

use super::*;

const ENTITY: u64 = 7;

#[tokio::test]
async fn without_trouble_nobody_waits_and_nothing_is_left_behind() {
    let lines = Lines::new();
    let mut places: Vec<_> = (0..3).map(|_| lines.enter(ENTITY)).collect();
    for place in &mut places {
        place.turn(soon()).await.expect("it is its turn at once");
        place.pass();
    }
    for place in places.into_iter().rev() {
        place.leave(Fate::Done);
    }
    assert!(is_empty(&lines));
}

#[tokio::test]
async fn what_was_sent_back_goes_again_in_its_order_before_what_came_later() {
    let lines = Lines::new();
    let log = RefCell::new(Vec::new());
    let (tell, told): (Vec<_>, Vec<_>) = (0..4).map(|_| oneshot::channel::<()>()).unzip();
    let mut told = told.into_iter();
    let mut sent_back = |name| {
        let (mut place, told) = (lines.enter(ENTITY), told.next().expect("there are as many"));
        let log = &log;
        async move {
            told.await.expect("it is told");
            let role = place.turn_again(soon()).await.expect("nothing overtook it");
            log.borrow_mut().push((name, role));
            place.pass();
            place.leave(Fate::Done);
        }
    };
    let (first, second, third) = (sent_back("first"), sent_back("second"), sent_back("third"));
    let told = told.next().expect("there are as many");
    let later = async {
        told.await.expect("it is told");
        let mut place = lines.enter(ENTITY);
        let role = place.turn(soon()).await.expect("its turn comes");
        log.borrow_mut().push(("later", role));
        place.pass();
        place.leave(Fate::Done);
    };

    // The last one hears of it first, and another one is begun before the first has heard of it.
    let driver = async {
        let mut tell = tell.into_iter().map(Some).collect::<Vec<_>>();
        for next in [2, 3, 1, 0] {
            assert!(log.borrow().is_empty(), "some are on their way");
            tell[next].take().expect("each once").send(()).expect("it waits");
            tokio::task::yield_now().await;
        }
    };
    tokio::join!(first, second, third, later, driver);
    let order = [
        ("first", Role::Leads),
        ("second", Role::Follows),
        ("third", Role::Follows),
        ("later", Role::Follows),
    ];
    assert_eq!(log.into_inner(), order);
    assert!(is_empty(&lines));
}

#[tokio::test]
async fn one_that_was_overtaken_is_not_sent_again() {
    for (fate, overtaken) in [(Fate::Done, true), (Fate::Unknown, true), (Fate::Nothing, false)] {
        let lines = Lines::new();
        let (mut earlier, later) = (lines.enter(ENTITY), lines.enter(ENTITY));
        let (again, ()) = tokio::join!(earlier.turn_again(soon()), async { later.leave(fate) });
        assert_eq!(again.is_err(), overtaken, "{fate:?}");
        drop(earlier);
        assert!(is_empty(&lines));
    }
}

#[tokio::test]
async fn one_that_gives_up_holds_up_nobody() {
    let lines = Lines::new();
    let [mut first, mut second, third] = [(); 3].map(|()| lines.enter(ENTITY));
    {
        let mut again = Box::pin(first.turn_again(soon()));
        assert!(is_pending(&mut again).await);
    }
    let mut last = lines.enter(ENTITY);
    {
        let mut again = Box::pin(second.turn_again(soon()));
        assert!(is_pending(&mut again).await);
        // It waits still, then has the turn and does nothing with it.
        drop(first);
        drop(third);
    }
    drop(second);
    assert_eq!(last.turn(soon()).await.expect("its turn comes"), Role::Leads);
    drop(last);
    assert!(is_empty(&lines));
}

#[tokio::test]
async fn nobody_waits_beyond_the_deadline() {
    let lines = Lines::new();
    let (mut earlier, later) = (lines.enter(ENTITY), lines.enter(ENTITY));
    assert!(earlier.turn_again(Instant::now()).await.is_err());
    let mut last = lines.enter(ENTITY);
    assert!(last.turn(Instant::now()).await.is_err());
    drop((earlier, last));
    drop(later);
    assert!(is_empty(&lines));
}

#[tokio::test]
async fn lines_of_others_are_not_held_up() {
    let lines = Lines::new();
    let (mut held, _under_way) = (lines.enter(ENTITY), lines.enter(ENTITY));
    let mut again = Box::pin(held.turn_again(soon()));
    assert!(is_pending(&mut again).await);
    lines.enter(ENTITY + 1).turn(soon()).await.expect("it has a line of its own");
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(10)
}

async fn is_pending<F: Future + Unpin>(future: &mut F) -> bool {
    std::future::poll_fn(|context| {
        std::task::Poll::Ready(std::pin::Pin::new(&mut *future).poll(context).is_pending())
    })
    .await
}

fn is_empty(lines: &Lines) -> bool {
    lines.0.each().all(|shard| shard.is_empty())
}
