use super::*;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn every_action_is_understood() {
    for (text, deed, lasts) in [
        ("term:node-1@10s", Deed::Process(ProcessDeed::Term), None),
        ("kill:node-1@10s+5s", Deed::Process(ProcessDeed::Kill), Some(5)),
        ("stop:node-1@10s", Deed::Process(ProcessDeed::Stop), None),
        ("cont:node-1@10s", Deed::Process(ProcessDeed::Cont), None),
        ("freeze:node-1@10s+5s", Deed::Process(ProcessDeed::Freeze), Some(5)),
        ("restart:node-1@10s", Deed::Process(ProcessDeed::Restart), None),
        ("start:node-1@10s", Deed::Process(ProcessDeed::Start), None),
        ("cut:node-1@10s+10s", Deed::Link(Weather::Cut), Some(10)),
        ("hold:node-1@10s", Deed::Link(Weather::Hold(Direction::Both)), None),
        ("hold-out:node-1@10s", Deed::Link(Weather::Hold(Direction::Out)), None),
        ("hold-in:node-1@10s", Deed::Link(Weather::Hold(Direction::In)), None),
        ("delay:node-1=200ms@10s", Deed::Link(Weather::Delay(Duration::from_millis(200))), None),
        ("throttle:node-1=64KiB@10s", Deed::Link(Weather::Throttle(65_536)), None),
        ("loss:node-1=0.5%@10s", Deed::Link(Weather::Loss { percent: 0.5 }), None),
        ("reset:node-1=100%@10s", Deed::Link(Weather::Reset { percent: 100.0 }), None),
        ("flush:node-1@10s", Deed::Redis(RedisDeed::Flush), None),
        ("promote:node-1@10s", Deed::Redis(RedisDeed::Promote), None),
    ] {
        let fault: Fault = text.parse().unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((fault.deed, fault.name.as_str(), fault.at), (deed, "node-1", 10 * SECOND), "{text}");
        assert_eq!(fault.lasts, lasts.map(Duration::from_secs), "{text}");
        assert_eq!(fault.to_string(), text);
    }
}

#[test]
fn what_is_wrong_is_told_with_what_to_write_instead() {
    for (text, words) in [
        ("kill:node-1", "put @ and a time"),
        ("kill@10s", "`ACTION:NAME@TIME`"),
        ("kill:@10s", "no name behind the colon"),
        ("kil:node-1@10s", "there is no action `kil`; take one of term, kill"),
        ("kill:node-1@soon", "`soon` is no time; write it as 10s"),
        ("kill:node-1@10s+x", "`x` is no time"),
        ("kill:node-1=5@10s", "leave `=5` out"),
        ("freeze:node-1@10s", "freeze needs its length"),
        ("cont:node-1@10s+5s", "cont is done at once"),
        ("flush:redis@10s+5s", "flush is done at once"),
        ("delay:a-b@10s", "delay needs a value: `delay:LINK=200ms"),
        ("delay:a-b=much@10s", "`much` is no time"),
        ("throttle:a-b=0@10s", "`0` is no number of bytes"),
        ("loss:a-b=1@10s", "write it as 1%"),
        ("reset:a-b=101%@10s", "`101%` is no share"),
    ] {
        let error = text.parse::<Fault>().unwrap_err();
        assert!(error.starts_with(&format!("`{text}`: ")) && error.contains(words), "{error}");
    }
}

#[test]
fn a_fault_that_lasts_is_undone_when_it_is_over() {
    let steps = |text: &str| -> Vec<(u64, StepDeed, bool)> {
        let fault: Fault = text.parse().unwrap();
        fault.steps().into_iter().map(|step| (step.at.as_secs(), step.what, step.heals)).collect()
    };
    let process = StepDeed::Process;
    assert_eq!(steps("kill:n@1s"), [(1, process(ProcessDeed::Kill), true)]);
    assert_eq!(
        steps("kill:n@1s+2s"),
        [(1, process(ProcessDeed::Kill), false), (3, process(ProcessDeed::Start), true)]
    );
    assert_eq!(
        steps("freeze:n@1s+2s"),
        [(1, process(ProcessDeed::Stop), false), (3, process(ProcessDeed::Cont), true)]
    );
    let cut = StepDeed::Link(Some(Weather::Cut));
    assert_eq!(steps("cut:n@1s+2s"), [(1, cut, false), (3, StepDeed::Link(None), true)]);
    assert_eq!(steps("cut:n@1s"), [(1, cut, true)]);
    assert_eq!(steps("promote:n@1s"), [(1, StepDeed::Redis(RedisDeed::Promote), true)]);
}
