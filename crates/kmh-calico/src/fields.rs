//! The fields of each kind, by version: what the definitions in `libcalico-go/config/crd` (group
//! `crd.projectcalico.org/v1`) and `api/config/crd` (`projectcalico.org/v3`) of projectcalico/calico have, and what its
//! validator in `libcalico-go/lib/validator/v3` asks of them.

use crate::formats::Format;
use crate::release::{OLDEST, Release};

/// A kind of resource.
pub(crate) struct Kind {
    /// Its name.
    pub(crate) name: &'static str,
    /// The only group that has it; both when none is named.
    pub(crate) group: Option<&'static str>,
    /// The fields of its `spec`.
    pub(crate) spec: &'static [Field],
}

/// A field.
pub(crate) struct Field {
    pub(crate) name: &'static str,
    /// The first release that knows it, of those that the tables speak of.
    pub(crate) since: Release,
    pub(crate) required: bool,
    pub(crate) shape: Shape,
}

/// What a field holds.
pub(crate) enum Shape {
    Bool,
    /// A number, from and to.
    Number(i64, i64),
    Text(Format),
    /// One of these words, each with the first release that knows it.
    OneOf(&'static [(&'static str, Release)]),
    /// At most so many of a shape.
    List(usize, &'static Shape),
    /// An object of these fields; of exactly one of them when said so.
    Object(&'static [Field], Exactly),
}

/// How many fields of an object there are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exactly {
    One,
    Any,
}

/// The table of a kind.
pub(crate) fn kind(name: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.name == name)
}

const V3_30: Release = Release(3, 30);
const V3_31: Release = Release(3, 31);
const V3_32: Release = Release(3, 32);

/// As the definitions have it: int32, so that the larger half of the AS numbers is refused (calico#13494).
const ASN: Shape = Shape::Number(1, 2_147_483_647);
const PRIORITY: Shape = Shape::Number(1, 2_147_483_646);
/// More rules, filters or ranges than this nobody has.
const MANY: usize = 10_000;

const fn field(name: &'static str, shape: Shape) -> Field {
    Field { name, since: OLDEST, required: false, shape }
}

const fn since(since: Release, name: &'static str, shape: Shape) -> Field {
    Field { name, since, required: false, shape }
}

const fn required(name: &'static str, shape: Shape) -> Field {
    Field { name, since: OLDEST, required: true, shape }
}

const NETS: Shape =
    Shape::List(MANY, &Shape::Object(&[required("cidr", Shape::Text(Format::Cidr))], Exactly::Any));

const PASSWORD: Shape = Shape::Object(
    &[required(
        "secretKeyRef",
        Shape::Object(
            &[
                required("name", Shape::Text(Format::Name)),
                required("key", Shape::Text(Format::Any)),
                field("optional", Shape::Bool),
            ],
            Exactly::Any,
        ),
    )],
    Exactly::Any,
);

const ENCAPSULATION: Shape = Shape::OneOf(&[("Never", OLDEST), ("Always", OLDEST), ("CrossSubnet", OLDEST)]);

const SWITCH: Shape = Shape::OneOf(&[("Enabled", OLDEST), ("Disabled", OLDEST)]);

const AS_PATH: Shape = Shape::List(10, &ASN);

const COMMUNITY: Shape = Shape::Text(Format::Community);

const COMMUNITIES: Shape = Shape::Object(&[required("values", Shape::List(1, &COMMUNITY))], Exactly::Any);

const RULES_V4: Shape = Shape::List(MANY, &Shape::Object(&rule(32), Exactly::Any));
const RULES_V6: Shape = Shape::List(MANY, &Shape::Object(&rule(128), Exactly::Any));

/// One rule of a `BGPFilter`.
const fn rule(longest: i64) -> [Field; 11] {
    [
        required("action", Shape::OneOf(&[("Accept", OLDEST), ("Reject", OLDEST)])),
        field("cidr", Shape::Text(Format::Cidr)),
        field(
            "matchOperator",
            Shape::OneOf(&[("Equal", OLDEST), ("NotEqual", OLDEST), ("In", OLDEST), ("NotIn", OLDEST)]),
        ),
        field("prefixLength", if longest == 32 { LENGTHS_V4 } else { LENGTHS_V6 }),
        field("source", Shape::OneOf(&[("RemotePeers", OLDEST)])),
        field("interface", Shape::Text(Format::Interface)),
        since(V3_32, "peerType", Shape::OneOf(&[("eBGP", V3_32), ("iBGP", V3_32)])),
        since(V3_32, "communities", COMMUNITIES),
        since(V3_32, "asPathPrefix", AS_PATH),
        since(V3_32, "priority", PRIORITY),
        since(V3_32, "operations", Shape::List(10, &OPERATION)),
    ]
}

const LENGTHS_V4: Shape =
    Shape::Object(&[field("min", Shape::Number(0, 32)), field("max", Shape::Number(0, 32))], Exactly::Any);
const LENGTHS_V6: Shape =
    Shape::Object(&[field("min", Shape::Number(0, 128)), field("max", Shape::Number(0, 128))], Exactly::Any);

const OPERATION: Shape = Shape::Object(
    &[
        field("addCommunity", Shape::Object(&[required("value", COMMUNITY)], Exactly::Any)),
        field("prependASPath", Shape::Object(&[required("prefix", AS_PATH)], Exactly::Any)),
        field("setPriority", Shape::Object(&[required("value", PRIORITY)], Exactly::Any)),
    ],
    Exactly::One,
);

/// Every kind, by name.
pub(crate) const KINDS: &[Kind] = &[
    Kind {
        name: "BGPConfiguration",
        group: None,
        spec: &[
            field("asNumber", ASN),
            field("bindMode", Shape::OneOf(&[("None", OLDEST), ("NodeIP", OLDEST)])),
            field(
                "communities",
                Shape::List(
                    MANY,
                    &Shape::Object(
                        &[required("name", Shape::Text(Format::Any)), required("value", COMMUNITY)],
                        Exactly::Any,
                    ),
                ),
            ),
            field("ignoredInterfaces", Shape::List(MANY, &Shape::Text(Format::Interface))),
            since(V3_32, "ipv4NormalRoutePriority", PRIORITY),
            since(V3_32, "ipv6NormalRoutePriority", PRIORITY),
            field("listenPort", Shape::Number(1, 65_535)),
            since(V3_30, "localWorkloadPeeringIPV4", Shape::Text(Format::Address)),
            since(V3_30, "localWorkloadPeeringIPV6", Shape::Text(Format::Address)),
            field("logSeverityScreen", Shape::Text(Format::Severity)),
            field("nodeMeshMaxRestartTime", Shape::Text(Format::Duration)),
            field("nodeMeshPassword", PASSWORD),
            field("nodeToNodeMeshEnabled", Shape::Bool),
            field(
                "prefixAdvertisements",
                Shape::List(
                    MANY,
                    &Shape::Object(
                        &[
                            required("cidr", Shape::Text(Format::Cidr)),
                            required("communities", Shape::List(MANY, &Shape::Text(Format::Any))),
                        ],
                        Exactly::Any,
                    ),
                ),
            ),
            since(
                V3_32,
                "programClusterRoutes",
                Shape::OneOf(&[
                    ("Enabled", V3_32),
                    ("Disabled", V3_32),
                    ("EnabledIPIPOnly", V3_32),
                    ("EnabledNoEncapOnly", V3_32),
                ]),
            ),
            field("serviceClusterIPs", NETS),
            field("serviceExternalIPs", NETS),
            since(V3_31, "serviceLoadBalancerAggregation", SWITCH),
            field("serviceLoadBalancerIPs", NETS),
        ],
    },
    Kind {
        name: "BGPFilter",
        group: None,
        spec: &[
            field("exportV4", RULES_V4),
            field("exportV6", RULES_V6),
            field("importV4", RULES_V4),
            field("importV6", RULES_V6),
        ],
    },
    Kind {
        name: "BGPPeer",
        group: None,
        spec: &[
            field("asNumber", ASN),
            field("filters", Shape::List(MANY, &Shape::Text(Format::Name))),
            field("keepOriginalNextHop", Shape::Bool),
            since(V3_32, "keepaliveTime", Shape::Text(Format::Duration)),
            since(V3_31, "localASNumber", ASN),
            since(V3_30, "localWorkloadSelector", Shape::Text(Format::Selector)),
            field("maxRestartTime", Shape::Text(Format::Duration)),
            since(V3_31, "nextHopMode", Shape::OneOf(&[("Auto", V3_31), ("Self", V3_31), ("Keep", V3_31)])),
            field("node", Shape::Text(Format::Name)),
            field("nodeSelector", Shape::Text(Format::Selector)),
            field("numAllowedLocalASNumbers", Shape::Number(0, i32::MAX as i64)),
            field("password", PASSWORD),
            field("peerIP", Shape::Text(Format::Peer)),
            field("peerSelector", Shape::Text(Format::Selector)),
            field("reachableBy", Shape::Text(Format::Address)),
            since(V3_31, "reversePeering", Shape::OneOf(&[("Auto", V3_31), ("Manual", V3_31)])),
            field("sourceAddress", Shape::OneOf(&[("UseNodeIP", OLDEST), ("None", OLDEST)])),
            field("ttlSecurity", Shape::Number(0, 255)),
        ],
    },
    Kind { name: "IPAMConfig", group: Some(crate::GROUP_CRD), spec: IPAM },
    Kind { name: "IPAMConfiguration", group: Some(crate::GROUP_V3), spec: IPAM },
    Kind {
        name: "IPPool",
        group: None,
        // `ipip` and `nat-outgoing` are in the definitions too; Calico refuses them.
        spec: &[
            field(
                "allowedUses",
                Shape::List(
                    3,
                    &Shape::OneOf(&[("Workload", OLDEST), ("Tunnel", OLDEST), ("LoadBalancer", V3_30)]),
                ),
            ),
            since(V3_30, "assignmentMode", Shape::OneOf(&[("Automatic", V3_30), ("Manual", V3_30)])),
            field("blockSize", Shape::Number(20, 128)),
            required("cidr", Shape::Text(Format::Cidr)),
            field("disableBGPExport", Shape::Bool),
            field("disabled", Shape::Bool),
            field("ipipMode", ENCAPSULATION),
            since(V3_31, "namespaceSelector", Shape::Text(Format::Selector)),
            field("natOutgoing", Shape::Bool),
            field("nodeSelector", Shape::Text(Format::Selector)),
            field("vxlanMode", ENCAPSULATION),
        ],
    },
];

const IPAM: &[Field] = &[
    required("autoAllocateBlocks", Shape::Bool),
    since(V3_32, "kubeVirtVMAddressPersistence", SWITCH),
    field("maxBlocksPerHost", Shape::Number(0, 1_000_000)),
    required("strictAffinity", Shape::Bool),
];
