# The first guide's way (mmumshad/kubernetes-the-hard-way): one CA of version 1 for all, clients of version 1, one
# certificate of etcd and one of kube-proxy for all machines, its encryption file of the older kind.
set -e
ca() { openssl genrsa -out ca.key 2048 2>&-; openssl req -new -key ca.key -subj "/CN=KUBERNETES-CA/O=Kubernetes" -out ca.csr
       openssl x509 -req -in ca.csr -signkey ca.key -out ca.crt -days 1000 2>&-; }
sign() { # name, subject, [extensions]
    openssl genrsa -out $1.key 2048 2>&-
    openssl req -new -key $1.key -subj "$2" -out $1.csr
    if [ -n "$3" ]; then printf "$3" >$1.cnf; more="-extfile $1.cnf"; else more=; fi
    openssl x509 -req -in $1.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out $1.crt -days 1000 $more 2>&-
}
ca
sign admin /CN=admin/O=system:masters
sign kube-controller-manager /CN=system:kube-controller-manager/O=system:kube-controller-manager
sign kube-scheduler /CN=system:kube-scheduler/O=system:kube-scheduler
sign kube-proxy /CN=system:kube-proxy/O=system:node-proxier
use='basicConstraints=critical,CA:FALSE\nkeyUsage=critical,nonRepudiation,digitalSignature,keyEncipherment\n'
sign kube-apiserver /CN=kube-apiserver/O=Kubernetes "${use}extendedKeyUsage=serverAuth\nsubjectAltName=DNS:kubernetes,DNS:kubernetes.default,IP:10.201.0.1,IP:10.10.0.11,IP:127.0.0.1\n"
sign apiserver-kubelet-client /CN=kube-apiserver-kubelet-client/O=system:masters "${use}extendedKeyUsage=clientAuth\n"
sign etcd-server /CN=etcd-server/O=Kubernetes 'basicConstraints=CA:FALSE\nkeyUsage=nonRepudiation,digitalSignature,keyEncipherment\nsubjectAltName=IP:10.10.0.11,IP:127.0.0.1\n'
sign service-account /CN=service-accounts/O=Kubernetes
sign w-1 /CN=system:node:w-1/O=system:nodes 'basicConstraints=CA:FALSE\nkeyUsage=digitalSignature,keyEncipherment\nsubjectAltName=DNS:w-1,IP:10.10.0.21\n'
cat >encryption-config.yaml <<END
kind: EncryptionConfig
apiVersion: v1
resources:
  - resources: [secrets]
    providers:
      - aescbc:
          keys:
            - name: key1
              secret: $(head -c 32 /dev/urandom | base64)
      - identity: {}
END
rm -f *.csr *.cnf
