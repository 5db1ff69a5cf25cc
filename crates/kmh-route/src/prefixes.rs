//! Questions about prefixes that must not cost a walk through a list for each of ten thousand blocks.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use ipnet::IpNet;
use kmh_doc::network::PrefixRule;

use crate::filter::matches_prefix;

/// Cuts a network down to a length; none when it is shorter already.
pub(crate) fn cut(net: IpNet, length: u8) -> Option<IpNet> {
    if length > net.prefix_len() {
        return None;
    }
    IpNet::new(net.network(), length).ok().map(|net| net.trunc())
}

/// A map from networks to values that finds all networks around another one: one look for each length in use.
#[derive(Clone, Debug)]
pub(crate) struct NetMap<T> {
    lengths: [BTreeSet<u8>; 2],
    map: HashMap<IpNet, T>,
}

impl<T> Default for NetMap<T> {
    fn default() -> Self {
        Self { lengths: [BTreeSet::new(), BTreeSet::new()], map: HashMap::new() }
    }
}

fn family(net: IpNet) -> usize {
    usize::from(matches!(net, IpNet::V6(_)))
}

impl<T> NetMap<T> {
    /// The value of a network, made when there is none.
    pub(crate) fn entry(&mut self, net: IpNet) -> &mut T
    where
        T: Default,
    {
        let net = net.trunc();
        if let Some(lengths) = self.lengths.get_mut(family(net)) {
            lengths.insert(net.prefix_len());
        }
        self.map.entry(net).or_default()
    }

    /// Every network that contains this one, itself included, the longest first.
    pub(crate) fn around(&self, net: IpNet) -> impl Iterator<Item = (IpNet, &T)> {
        let lengths = self.lengths.get(family(net));
        lengths.into_iter().flat_map(move |lengths| lengths.range(..=net.prefix_len()).rev()).filter_map(
            move |length| {
                let around = cut(net, *length)?;
                Some((around, self.map.get(&around)?))
            },
        )
    }
}

/// Every rule of every prefix list, each once, so that two prefixes which match the same rules are treated alike by
/// every router.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rules {
    numbers: BTreeMap<PrefixRule, u32>,
    by_net: NetMap<Vec<u32>>,
    all: Vec<PrefixRule>,
}

impl Rules {
    /// The number of a rule.
    pub(crate) fn number(&mut self, rule: &PrefixRule) -> u32 {
        if let Some(number) = self.numbers.get(rule) {
            return *number;
        }
        let number = u32::try_from(self.all.len()).unwrap_or(u32::MAX);
        self.numbers.insert(rule.clone(), number);
        self.by_net.entry(rule.prefix.net()).push(number);
        self.all.push(rule.clone());
        number
    }

    /// The numbers of the rules that match, sorted.
    pub(crate) fn matching(&self, net: IpNet) -> Box<[u32]> {
        let mut numbers: Vec<u32> = self
            .by_net
            .around(net)
            .flat_map(|(_, numbers)| numbers)
            .copied()
            .filter(|number| self.all.get(*number as usize).is_some_and(|rule| matches_prefix(rule, net)))
            .collect();
        numbers.sort_unstable();
        numbers.into_boxed_slice()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> IpNet {
        text.parse().expect(text)
    }

    #[test]
    fn networks_around_another() {
        let mut map: NetMap<u32> = NetMap::default();
        for (number, text) in
            ["0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16", "10.2.0.0/16", "::/0"].iter().enumerate()
        {
            *map.entry(net(text)) = u32::try_from(number).expect("small");
        }
        let around = |text: &str| map.around(net(text)).map(|(_, number)| *number).collect::<Vec<_>>();
        assert_eq!(around("10.1.2.0/24"), [2, 1, 0]);
        assert_eq!(around("10.0.0.0/8"), [1, 0]);
        assert_eq!(around("10.0.0.0/7"), [0]);
        assert_eq!(around("fd00::/8"), [4]);
    }

    #[test]
    fn rules_are_counted_once() {
        let rule = |prefix: &str, ge| PrefixRule { prefix: prefix.parse().expect(prefix), ge, le: Some(32) };
        let mut rules = Rules::default();
        let numbers = [rule("10.0.0.0/8", None), rule("10.0.0.0/8", Some(26)), rule("10.0.0.0/8", None)];
        assert_eq!(numbers.map(|rule| rules.number(&rule)), [0, 1, 0]);
        assert_eq!(*rules.matching(net("10.3.0.0/26")), [0, 1]);
        assert_eq!(*rules.matching(net("10.3.0.0/24")), [0]);
        assert_eq!(*rules.matching(net("11.3.0.0/24")), [0_u32; 0]);
    }
}
