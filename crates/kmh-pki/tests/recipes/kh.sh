# The second guide's way (kelseyhightower/kubernetes-the-hard-way): one CA with basic constraints that are not critical,
# clients that are servers too, kubeconfigs with everything in them, etcd without any certificate.
set -e
printf '[req]\ndistinguished_name=d\n[d]\n[x]\nbasicConstraints=CA:TRUE\nkeyUsage=cRLSign,keyCertSign\nsubjectKeyIdentifier=hash\n' >ca.conf
openssl genrsa -out ca.key 4096 2>&-
openssl req -x509 -new -sha512 -config ca.conf -extensions x -key ca.key -days 3653 -subj '/C=US/ST=Washington/L=Seattle/CN=CA' -out ca.crt
sign() { # name, subject, usages, names
    openssl genrsa -out $1.key 2048 2>&-
    printf 'basicConstraints=CA:FALSE\nextendedKeyUsage=%s\nkeyUsage=critical,digitalSignature,keyEncipherment\nnsCertType=client\nnsComment="a certificate"\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n' $3 >$1.ext
    [ -z "$4" ] || printf 'subjectAltName=%s\n' $4 >>$1.ext
    openssl req -new -key $1.key -subj "$2" -out $1.csr
    openssl x509 -req -days 3653 -in $1.csr -sha256 -CA ca.crt -CAkey ca.key -CAcreateserial -extfile $1.ext -out $1.crt 2>&-
}
both=clientAuth,serverAuth
sign admin /CN=admin/O=system:masters clientAuth
sign w-1 /CN=system:node:w-1/O=system:nodes/C=US/ST=Washington/L=Seattle $both DNS:w-1,IP:127.0.0.1
sign kube-proxy /CN=system:kube-proxy/O=system:node-proxier/C=US $both DNS:kube-proxy,IP:127.0.0.1
sign kube-scheduler /CN=system:kube-scheduler/O=system:system:kube-scheduler/C=US $both DNS:kube-scheduler,IP:127.0.0.1
sign kube-controller-manager /CN=system:kube-controller-manager/O=system:kube-controller-manager/C=US $both DNS:kube-controller-manager,IP:127.0.0.1
sign kube-api-server /CN=kubernetes/C=US $both IP:127.0.0.1,IP:10.201.0.1,DNS:kubernetes,DNS:kubernetes.svc.cluster.local
sign service-accounts /CN=service-accounts clientAuth
printf 'kind: EncryptionConfiguration\napiVersion: apiserver.config.k8s.io/v1\nresources:\n  - resources:\n      - secrets\n    providers:\n      - aescbc:\n          keys:\n            - name: key1\n              secret: %s\n      - identity: {}\n' $(head -c 32 /dev/urandom | base64) >encryption-config.yaml
rm -f *.csr *.ext ca.conf
