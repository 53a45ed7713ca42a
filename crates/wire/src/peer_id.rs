//! The 20-byte peer id, and the client's name that most ids carry (BEP 20).

use core::fmt;

/// The 20 bytes a peer calls itself by. Not authenticated: never a ground for trust or bans.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(pub [u8; 20]);

/// How every id of ours begins: Azureus style, client `UK`, version 0.1.0 (BEP 20).
pub const PEER_ID_PREFIX: [u8; 8] = *b"-UK0100-";

impl PeerId {
    //= BEP 20: Azureus-style peer id
    /// Our id with these twelve random bytes as its tail.
    pub fn ours(random: [u8; 12]) -> Self {
        let mut id = [0; 20];
        id[..8].copy_from_slice(&PEER_ID_PREFIX);
        id[8..].copy_from_slice(&random);
        PeerId(id)
    }

    //= BEP 20: client and version from the peer id
    /// Name and version of the client as its id tells them, to be shown; without control characters. `None` when it
    /// follows none of the conventions.
    pub fn client(&self) -> Option<String> {
        let odd = ODD.iter().find(|(head, _)| self.0.starts_with(head)).map(|(_, name)| (*name).to_owned());
        odd.or_else(|| self.azureus()).or_else(|| self.mainline()).or_else(|| self.shadow())
    }

    /// `-XX1234-`: two letters and four characters of version.
    fn azureus(&self) -> Option<String> {
        let [b'-', x, y, a, b, c, d, b'-'] = *self.0.first_chunk::<8>()? else { return None };
        let is_code = |b: u8| b.is_ascii_alphanumeric() || b == b'~';
        if !is_code(x) || !is_code(y) {
            return None;
        }
        let (na, nb, nc) = (base62(a)?, base62(b)?, base62(c)?);
        let version = match (&[x, y], base62(d)) {
            (b"BC" | b"WW" | b"WD", Some(nd)) => format!("{}.{nc}{nd}", na * 10 + nb),
            (b"TR", _) if a <= b'3' => format!("{na}.{nb}{nc}"),
            // a letter in the last place names a kind of build
            (_, Some(nd @ 1..=9)) => format!("{na}.{nb}.{nc}.{nd}"),
            _ => format!("{na}.{nb}.{nc}"),
        };
        let known = AZUREUS.iter().find(|(code, _)| **code == [x, y]);
        Some(match known {
            Some((_, name)) => format!("{name} {version}"),
            None => format!("{}{} {version}", char::from(x), char::from(y)),
        })
    }

    /// `M4-3-6--`: a letter and three numbers with dashes behind them.
    fn mainline(&self) -> Option<String> {
        let name = match self.0[0] {
            b'M' => "BitTorrent",
            b'Q' => "Queen Bee",
            _ => return None,
        };
        let text = core::str::from_utf8(&self.0[1..8]).ok()?;
        let mut numbers = text.split('-');
        let mut number = || numbers.next().filter(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
        let (a, b, c) = (number()?, number()?, number()?);
        text.ends_with('-').then(|| format!("{name} {a}.{b}.{c}"))
    }

    /// `T03I-----`: a letter, up to five characters of version padded with dashes, and three dashes.
    fn shadow(&self) -> Option<String> {
        let [letter, version @ .., b'-', b'-', b'-'] = self.0.first_chunk::<9>()? else { return None };
        let (_, name) = SHADOW.iter().find(|(known, _)| known == letter)?;
        let len = version.iter().position(|b| *b == b'-').unwrap_or(version.len());
        let (version, padding) = version.split_at(len);
        if version.is_empty() || padding.iter().any(|b| *b != b'-') {
            return None;
        }
        let numbers: Option<Vec<String>> = version.iter().map(|b| Some(base62(*b)?.to_string())).collect();
        Some(format!("{name} {}", numbers?.join(".")))
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

/// The value of a version character: 0–9, A–Z for 10–35, a–z for 36–61.
fn base62(digit: u8) -> Option<u32> {
    let value = match digit {
        b'0'..=b'9' => digit - b'0',
        b'A'..=b'Z' => digit - b'A' + 10,
        b'a'..=b'z' => digit - b'a' + 36,
        _ => return None,
    };
    Some(u32::from(value))
}

/// Beginnings that follow no style.
const ODD: [(&[u8], &str); 11] = [
    (b"exbc", "BitComet"),
    (b"FUTB", "BitComet"),
    (b"XBT", "XBT Client"),
    (b"OP", "Opera"),
    (b"-ML", "MLDonkey"),
    (b"-BOW", "Bits on Wheels"),
    (b"-G3", "G3 Torrent"),
    (b"AZ2500BT", "BitTyrant"),
    (b"FG0", "FlashGet"),
    (b"\0\x02BS", "BitSpirit 2"),
    (b"\0\x03BS", "BitSpirit 3"),
];

/// Letters of the style that Shadow's client began.
const SHADOW: [(u8, &str); 7] = [
    (b'A', "ABC"),
    (b'O', "Osprey Permaseed"),
    (b'Q', "BTQueue"),
    (b'R', "Tribler"),
    (b'S', "Shadow's client"),
    (b'T', "BitTornado"),
    (b'U', "UPnP NAT BitTorrent"),
];

/// Codes of the style that Azureus began.
#[rustfmt::skip]
const AZUREUS: &[(&[u8; 2], &str)] = &[
    (b"7T", "aTorrent"), (b"A~", "Ares"), (b"AG", "Ares"), (b"AR", "Arctic"), (b"AV", "Avicora"),
    (b"AX", "BitPump"), (b"AZ", "Azureus"), (b"BB", "BitBuddy"), (b"BC", "BitComet"), (b"BF", "Bitflu"),
    (b"BG", "BTG"), (b"BI", "BiglyBT"), (b"BR", "BitRocket"), (b"BS", "BTSlave"), (b"BT", "BitTorrent"),
    (b"BX", "BittorrentX"), (b"CD", "Enhanced CTorrent"), (b"CT", "CTorrent"), (b"DE", "Deluge"),
    (b"DP", "Propagate"), (b"EB", "EBit"), (b"ES", "Electric Sheep"), (b"FD", "Free Download Manager"),
    (b"FT", "FoxTorrent"), (b"FW", "FrostWire"), (b"FX", "Freebox BitTorrent"), (b"GS", "GSTorrent"),
    (b"HL", "Halite"), (b"HN", "Hydranode"), (b"KG", "KGet"), (b"KT", "KTorrent"), (b"LH", "LH-ABC"),
    (b"LP", "Lphant"), (b"LT", "libtorrent"), (b"LW", "LimeWire"), (b"MO", "MonoTorrent"),
    (b"MP", "MooPolice"), (b"MR", "Miro"), (b"MT", "MoonlightTorrent"), (b"NX", "Net Transport"),
    (b"PD", "Pando"), (b"PI", "PicoTorrent"), (b"QD", "QQDownload"), (b"QT", "Qt 4 Torrent"),
    (b"RT", "Retriever"), (b"S~", "Shareaza"), (b"SB", "Swiftbit"), (b"SD", "Thunder"),
    (b"SS", "SwarmScope"), (b"ST", "SymTorrent"), (b"SZ", "Shareaza"), (b"TL", "Tribler"),
    (b"TN", "TorrentDotNET"), (b"TR", "Transmission"), (b"TS", "Torrentstorm"), (b"TT", "TuoTu"),
    (b"TX", "Tixati"), (b"UE", "µTorrent Embedded"), (b"UK", "Unchoke"), (b"UL", "uLeecher!"),
    (b"UM", "µTorrent Mac"), (b"UT", "µTorrent"), (b"UW", "µTorrent Web"), (b"VG", "Vagaa"),
    (b"WD", "WebTorrent Desktop"), (b"WT", "BitLet"), (b"WW", "WebTorrent"), (b"WY", "FireTorrent"),
    (b"XL", "Xunlei"), (b"XT", "XanTorrent"), (b"XX", "Xtorrent"), (b"ZT", "ZipTorrent"),
    (b"lt", "rTorrent"), (b"qB", "qBittorrent"), (b"rQ", "rqbit"), (b"st", "sharktorrent"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn client(head: &[u8]) -> Option<String> {
        let mut id = [b'x'; 20];
        id[..head.len()].copy_from_slice(head);
        PeerId(id).client()
    }

    #[test]
    fn the_client_is_named_from_every_style_of_id() {
        for (head, name) in [
            (&b"-AZ2060-"[..], "Azureus 2.0.6"),
            (b"-qB5040-", "qBittorrent 5.0.4"),
            (b"-lt0D60-", "rTorrent 0.13.6"),
            (b"-DE13F0-", "Deluge 1.3.15"),
            (b"-DE211s-", "Deluge 2.1.1"),
            (b"-TR2940-", "Transmission 2.94"),
            (b"-TR4060-", "Transmission 4.0.6"),
            (b"-UT355W-", "µTorrent 3.5.5"),
            (b"-BC0202-", "BitComet 2.02"),
            (b"-WW0213-", "WebTorrent 2.13"),
            (b"-AZ4701-", "Azureus 4.7.0.1"),
            (b"-FD51R.-", "Free Download Manager 5.1.27"),
            (b"-zz1230-", "zz 1.2.3"),
            (b"M4-3-6--", "BitTorrent 4.3.6"),
            (b"M4-20-8-", "BitTorrent 4.20.8"),
            (b"Q1-0-0--", "Queen Bee 1.0.0"),
            (b"T03I-----", "BitTornado 0.3.18"),
            (b"S587-----", "Shadow's client 5.8.7"),
            (b"R34------", "Tribler 3.4"),
            (b"exbc", "BitComet"),
            (b"XBT054d-", "XBT Client"),
            (b"OP1234", "Opera"),
            (b"-ML2.7.2-", "MLDonkey"),
            (b"-BOWA0C-", "Bits on Wheels"),
            (b"-G3", "G3 Torrent"),
            (b"AZ2500BT", "BitTyrant"),
            (b"FG0180", "FlashGet"),
            (b"\0\x03BS", "BitSpirit 3"),
        ] {
            assert_eq!(client(head).as_deref(), Some(name), "{}", head.escape_ascii());
        }
        assert_eq!(PeerId::ours([0; 12]).client().as_deref(), Some("Unchoke 0.1.0"));
    }

    #[test]
    fn an_id_without_a_style_names_no_client() {
        for head in [&b"\0\0\0\0"[..], b"-\x1b[1230-", b"-AZ\n060-", b"M4-3-x--", b"T--------", b"T0-I-----"]
        {
            assert_eq!(client(head), None, "{}", head.escape_ascii());
        }
    }
}
