//! What is to be told of who is where: of each session on each channel only the newest, and one call after the other.
//!
//! PresenceKey in the data path: between the workers, which know, and the store. A store that was away is told of thousands of
//! sessions anew, and meanwhile they come and go: what was noted first must not be told last.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tidegate_cluster::Fence;
use tidegate_cluster::presence::Member;
use tidegate_protocol::channel::ChannelName;
use tidegate_protocol::id::SessionId;

/// A session on a channel.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) struct PresenceKey {
    pub(crate) session: SessionId,
    pub(crate) channel: ChannelName,
}

/// What the store is to know of a place.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum News {
    Present(Member),
    Absent,
}

/// Places of which something is being told, and absences that could not be told. Of the first there are as many as there
/// are subscriptions at most, of the second as many as may be owed.
#[derive(Debug)]
pub(crate) struct Attendance {
    owed_max: usize,
    book: Mutex<Book>,
    refused: AtomicU64,
}

#[derive(Debug, Default)]
struct Book {
    places: HashMap<PresenceKey, Noted>,
    /// How many of them nobody is telling.
    owed: usize,
}

#[derive(Debug)]
struct Noted {
    /// Under which fence; an older owner's news are void.
    fence: Fence,
    /// Nothing when all has been told, or is on its way.
    news: Option<News>,
    /// Somebody has taken it upon himself to tell.
    has_teller: bool,
}

impl Attendance {
    pub(crate) fn new(owed_max: usize) -> Self {
        Self { owed_max, book: Mutex::default(), refused: AtomicU64::new(0) }
    }

    /// Notes news, in place of earlier ones. True: nobody tells of this place yet, so the caller has to: [`Self::next`]
    /// until there is nothing.
    #[must_use]
    pub(crate) fn note(&self, place: PresenceKey, fence: Fence, news: News) -> bool {
        let mut book = self.lock();
        let Book { places, owed } = &mut *book;
        match places.entry(place) {
            Entry::Vacant(vacant) => {
                vacant.insert(Noted { fence, news: Some(news), has_teller: true });
                true
            }
            Entry::Occupied(known) if known.get().fence > fence => false,
            Entry::Occupied(mut known) => {
                let had_teller = known.get().has_teller;
                *known.get_mut() = Noted { fence, news: Some(news), has_teller: true };
                *owed -= usize::from(!had_teller);
                !had_teller
            }
        }
    }

    /// What is to be told of a place next. Nothing: the caller has done his part.
    pub(super) fn next(&self, place: &PresenceKey) -> Option<(Fence, News)> {
        let mut book = self.lock();
        let noted = book.places.get_mut(place)?;
        let next = noted.news.take().map(|news| (noted.fence, news));
        if next.is_none() {
            book.places.remove(place);
        }
        next
    }

    /// Notes that an absence could not be told. True: there are newer news, or no room to owe it, so the caller goes on.
    /// False: it is owed, and nobody tells of this place any more.
    #[must_use]
    pub(super) fn missed(&self, place: &PresenceKey) -> bool {
        let mut book = self.lock();
        let has_room = book.owed < self.owed_max;
        let Some(noted) = book.places.get_mut(place).filter(|noted| noted.news.is_none()) else {
            return true;
        };
        if !has_room {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return true;
        }
        (noted.news, noted.has_teller) = (Some(News::Absent), false);
        book.owed += 1;
        false
    }

    /// Absences that nobody is telling: the caller has to, as after [`Self::note`].
    pub(super) fn take_owed(&self) -> Vec<PresenceKey> {
        let mut book = self.lock();
        if book.owed == 0 {
            return Vec::new();
        }
        book.owed = 0;
        let owed = book.places.iter_mut().filter(|(_, noted)| !noted.has_teller);
        owed.map(|(place, noted)| {
            noted.has_teller = true;
            place.clone()
        })
        .collect()
    }

    /// How many absences are owed.
    pub(crate) fn owed(&self) -> usize {
        self.lock().owed
    }

    /// Absences that there was no room for.
    pub(crate) fn refused_total(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Each operation leaves the book consistent, so a panic elsewhere does not spoil it.
    fn lock(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tidegate_protocol::time::Millis;

    use super::*;

    fn place(number: u8) -> PresenceKey {
        PresenceKey {
            session: SessionId::from_bytes([number; 16]),
            channel: ChannelName::parse("room:tea").unwrap(),
        }
    }

    fn present(since: u64) -> News {
        let session = place(1).session;
        News::Present(Member { session, user: "ann".into(), info: None, since: Millis::new(since) })
    }

    const FIRST: Fence = Fence::new(1);

    #[test]
    fn one_tells_at_a_time_and_in_the_end_the_newest() {
        let attendance = Attendance::new(9);
        assert!(attendance.note(place(1), FIRST, present(1)));
        assert!(attendance.note(place(2), FIRST, News::Absent), "it is another place");
        assert_eq!(attendance.next(&place(1)), Some((FIRST, present(1))));

        assert!(!attendance.note(place(1), FIRST, News::Absent), "somebody is telling");
        assert!(!attendance.note(place(1), FIRST, present(2)));
        assert_eq!(attendance.next(&place(1)), Some((FIRST, present(2))));
        assert_eq!(attendance.next(&place(1)), None);

        assert!(attendance.note(place(1), FIRST, News::Absent), "nobody tells any more");
    }

    #[test]
    fn an_older_owner_s_news_are_void() {
        let attendance = Attendance::new(9);
        assert!(attendance.note(place(1), FIRST.next(), present(1)));
        assert!(!attendance.note(place(1), FIRST, News::Absent));
        assert_eq!(attendance.next(&place(1)), Some((FIRST.next(), present(1))));
    }

    #[test]
    fn an_absence_that_was_missed_is_owed_until_it_is_taken_or_over() {
        let attendance = Attendance::new(9);
        for number in [1, 2] {
            assert!(attendance.note(place(number), FIRST, News::Absent));
            assert!(attendance.next(&place(number)).is_some());
            assert!(!attendance.missed(&place(number)));
        }
        assert_eq!(attendance.owed(), 2);

        assert!(attendance.note(place(2), FIRST, present(2)), "it came back meanwhile");
        assert_eq!(attendance.take_owed(), [place(1)]);
        assert_eq!((attendance.owed(), attendance.take_owed().len()), (0, 0));
        assert_eq!(attendance.next(&place(1)), Some((FIRST, News::Absent)));
        assert_eq!(attendance.next(&place(2)), Some((FIRST, present(2))));
    }

    #[test]
    fn an_absence_that_was_missed_is_forgotten_where_there_are_newer_ones() {
        let attendance = Attendance::new(9);
        assert!(attendance.note(place(1), FIRST, News::Absent));
        assert!(attendance.next(&place(1)).is_some());
        assert!(!attendance.note(place(1), FIRST, present(1)));
        assert!(attendance.missed(&place(1)));
        assert_eq!((attendance.owed(), attendance.next(&place(1))), (0, Some((FIRST, present(1)))));
    }

    #[test]
    fn one_more_absence_than_fits_is_refused_and_counted() {
        let attendance = Attendance::new(1);
        for number in [1, 2] {
            assert!(attendance.note(place(number), FIRST, News::Absent));
            assert!(attendance.next(&place(number)).is_some());
            assert_eq!(attendance.missed(&place(number)), number == 2);
        }
        assert_eq!((attendance.owed(), attendance.refused_total()), (1, 1));
        assert_eq!(attendance.next(&place(2)), None);
    }
}
