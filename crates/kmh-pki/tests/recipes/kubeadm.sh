# A folder as kubeadm 1.36 makes it for node $NODE, in ./etc and ./var: RSA 2048 as PKCS #1, CAs with their name as a DNS
# name and without path length, leaves without subject key identifier, kubeconfigs with everything in them. KIND=ec: with
# ECDSA keys; KIND=ec USE=digitalSignature: without what such a key cannot do, as kubeadm will have it.
set -e
pki=etc/kubernetes/pki
mkdir -p $pki/etcd var/lib/kubelet/pki
kind=${KIND:-rsa}
key() { if [ $kind = rsa ]; then openssl genrsa -traditional -out $1 2048 2>&-; else openssl ecparam -name prime256v1 -genkey -noout -out $1; fi; }
ca() { # path, name
    key $pki/$1.key
    printf '[req]\ndistinguished_name=d\n[d]\n[x]\nbasicConstraints=critical,CA:TRUE\nkeyUsage=critical,digitalSignature,keyEncipherment,keyCertSign\nsubjectKeyIdentifier=hash\nsubjectAltName=DNS:%s\n' $2 >ca.cnf
    openssl req -new -x509 -config ca.cnf -extensions x -key $pki/$1.key -subj /CN=$2 -days 3650 -out $pki/$1.crt
}
leaf() { # path, subject, usages, names, CA
    key $1.key
    { printf 'basicConstraints=critical,CA:FALSE\nkeyUsage=critical,%s\nextendedKeyUsage=%s\nauthorityKeyIdentifier=keyid\n' ${USE:-digitalSignature,keyEncipherment} $3
      [ -z "$4" ] || printf 'subjectAltName=%s\n' $4; } >leaf.ext
    openssl req -new -key $1.key -subj "$2" -out leaf.csr
    openssl x509 -req -in leaf.csr -CA $pki/$5.crt -CAkey $pki/$5.key -CAcreateserial -CAserial $RANDOM.srl -days ${DAYS:-365} -extfile leaf.ext -out $1.crt 2>&-
}
config() { # file, subject, server
    leaf embedded "$2" clientAuth "" ca
    cat >$1 <<END
apiVersion: v1
clusters:
- cluster:
    certificate-authority-data: $(base64 -w0 $pki/ca.crt)
    server: https://$3:6443
  name: kubernetes
contexts:
- context:
    cluster: kubernetes
    user: somebody
  name: somebody@kubernetes
current-context: somebody@kubernetes
kind: Config
users:
- name: somebody
  user:
    client-certificate-data: $(base64 -w0 embedded.crt)
    client-key-data: $(base64 -w0 embedded.key)
END
    rm embedded.*
}
if [ -n "$SHARED" ]; then
    mkdir -p $pki && cp -a $SHARED/$pki/ca.* $SHARED/$pki/sa.* $SHARED/$pki/front-proxy-ca.* $pki && cp -a $SHARED/$pki/etcd/ca.* $pki/etcd
else
    ca ca kubernetes; ca front-proxy-ca front-proxy-ca; ca etcd/ca etcd-ca
    key $pki/sa.key; openssl pkey -in $pki/sa.key -pubout -out $pki/sa.pub
fi
services=DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local
leaf $pki/apiserver /CN=kube-apiserver serverAuth DNS:$NODE,DNS:k8s.example.net,$services,IP:10.201.0.1,IP:$ADDRESS ca
leaf $pki/apiserver-kubelet-client /CN=kube-apiserver-kubelet-client clientAuth "" ca
leaf $pki/front-proxy-client /CN=front-proxy-client clientAuth "" front-proxy-ca
leaf $pki/apiserver-etcd-client /CN=kube-apiserver-etcd-client clientAuth "" etcd/ca
leaf $pki/etcd/healthcheck-client /CN=kube-etcd-healthcheck-client clientAuth "" etcd/ca
names=DNS:$NODE,DNS:localhost,IP:$ADDRESS,IP:127.0.0.1,IP:::1
leaf $pki/etcd/server /CN=$NODE serverAuth,clientAuth $names${SANS:+,$SANS} etcd/ca
leaf $pki/etcd/peer /CN=$NODE serverAuth,clientAuth $names etcd/ca
config etc/kubernetes/admin.conf /O=kubeadm:cluster-admins/CN=kubernetes-admin k8s.example.net
[ -n "$SHARED" ] || config etc/kubernetes/super-admin.conf /O=system:masters/CN=kubernetes-super-admin k8s.example.net
config etc/kubernetes/controller-manager.conf /CN=system:kube-controller-manager $ADDRESS
config etc/kubernetes/scheduler.conf /CN=system:kube-scheduler $ADDRESS
# The kubelet has renewed its certificate: under a fixed name a link to the newest, in its configuration that name.
leaf newest /O=system:nodes/CN=system:node:$NODE clientAuth "" ca
cat newest.crt newest.key >var/lib/kubelet/pki/kubelet-client-2026-11-01.pem && rm newest.*
ln -s /var/lib/kubelet/pki/kubelet-client-2026-11-01.pem var/lib/kubelet/pki/kubelet-client-current.pem
printf 'apiVersion: v1\nkind: Config\nusers:\n- name: default-auth\n  user:\n    client-certificate: /var/lib/kubelet/pki/kubelet-client-current.pem\n    client-key: /var/lib/kubelet/pki/kubelet-client-current.pem\n' >etc/kubernetes/kubelet.conf
# Its serving certificate it signs itself.
openssl req -x509 -newkey rsa:2048 -nodes -keyout var/lib/kubelet/pki/kubelet.key -out var/lib/kubelet/pki/kubelet.crt -subj /CN=$NODE@1700000000 -addext subjectAltName=DNS:$NODE -days 365 2>&-
mkdir -p etc/kubernetes/manifests && printf 'kind: Pod\nspec: {}\n' >etc/kubernetes/manifests/etcd.yaml
rm -f leaf.* ca.cnf *.srl
