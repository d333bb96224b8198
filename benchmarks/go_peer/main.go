// The benchmark's peer in Go: httputil.ReverseProxy over a transport that has its tokens from
// golang.org/x/oauth2/clientcredentials.
//
// It has a pool of connections as large as the load, leaves compression to the caller, and, if asked
// to, uses its buffers again. The first line of its output is its port.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"sync"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

const (
	connectionsMax  = 256
	copyBufferBytes = 32 * 1024
)

// buffers lends what bodies are copied through, so that not each answer makes one.
type buffers struct{ pool sync.Pool }

func (b *buffers) Get() []byte       { return *b.pool.Get().(*[]byte) }
func (b *buffers) Put(buffer []byte) { b.pool.Put(&buffer) }

func newBuffers() *buffers {
	return &buffers{sync.Pool{New: func() any {
		buffer := make([]byte, copyBufferBytes)
		return &buffer
	}}}
}

// trust returns a configuration that believes the certificates in the file only.
func trust(file, name string) *tls.Config {
	certificates, err := os.ReadFile(file)
	if err != nil {
		log.Fatal(err)
	}
	authorities := x509.NewCertPool()
	if !authorities.AppendCertsFromPEM(certificates) {
		log.Fatalf("no certificate in %s", file)
	}
	return &tls.Config{RootCAs: authorities, ServerName: name}
}

func main() {
	upstream := flag.String("upstream", "", "origin to forward to")
	tokenEndpoint := flag.String("token-endpoint", "", "where tokens are asked for")
	secret := flag.String("secret", "", "the client's")
	authorities := flag.String("ca-file", "", "PEM, for an https upstream")
	name := flag.String("server-name", "", "that its certificate must have")
	pooled := flag.Bool("buffer-pool", false, "use buffers again")
	flag.Parse()

	origin, err := url.Parse(*upstream)
	if err != nil {
		log.Fatal(err)
	}
	transport := &http.Transport{
		DialContext:         (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
		MaxIdleConns:        connectionsMax,
		MaxIdleConnsPerHost: connectionsMax,
		IdleConnTimeout:     time.Hour,
		DisableCompression:  true,
	}
	if *authorities != "" {
		transport.TLSClientConfig = trust(*authorities, *name)
	}
	client := clientcredentials.Config{
		ClientID:     "benchmark",
		ClientSecret: *secret,
		TokenURL:     *tokenEndpoint,
		AuthStyle:    oauth2.AuthStyleInHeader,
	}
	proxy := httputil.NewSingleHostReverseProxy(origin)
	// It keeps the token, and asks for another one when it has run out.
	proxy.Transport = &oauth2.Transport{Source: client.TokenSource(context.Background()), Base: transport}
	if *pooled {
		proxy.BufferPool = newBuffers()
	}

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	log.Fatal((&http.Server{Handler: proxy}).Serve(listener))
}
