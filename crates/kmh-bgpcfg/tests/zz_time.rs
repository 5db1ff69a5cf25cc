#![allow(clippy::all)]
#[test] fn t() { for f in ["big500","big5000","big120"] {
 let y=std::fs::read_to_string(format!("/tmp/w/P/{f}.yaml")).unwrap();
 let tree=kmh_doc::tree::parse_yaml(&y).unwrap(); let t=std::time::Instant::now();
 let m=kmh_model::load(&tree,&[kmh_model::Need::Asn]).unwrap().0; let l=t.elapsed(); let t=std::time::Instant::now();
 let s=kmh_bgpcfg::plan(&m).unwrap(); println!("{f} load {l:?} plan {:?} {}", t.elapsed(), s.routers.len()); } }
