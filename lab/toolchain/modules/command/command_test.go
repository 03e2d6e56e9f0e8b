package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/blang/semver"
	p "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi-go-provider/integration"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/tokens"
	"github.com/pulumi/pulumi/sdk/v3/go/property"
	"golang.org/x/crypto/ssh"
)

var urn = resource.NewURN("dev", "test", "", tokens.Type("command:remote:Command"), "c")

func newServer(t *testing.T) integration.Server {
	t.Helper()
	server, err := integration.NewServer(
		t.Context(), "command", semver.MustParse("1.2.1"), integration.WithProvider(provider()),
	)
	if err != nil {
		t.Fatal(err)
	}
	return server
}

func inputs(extra, connection map[string]property.Value) property.Map {
	reached := map[string]property.Value{"host": property.New("h"), "hostKey": property.New("ssh-ed25519 AAAA")}
	for name, value := range connection {
		reached[name] = value
	}
	all := map[string]property.Value{"connection": property.New(reached).WithSecret(true), "create": property.New("true")}
	for name, value := range extra {
		all[name] = value
	}
	return property.NewMap(all)
}

func TestAnInputThatIsNotKnownIsRefusedByNameAndWithoutAnyValue(t *testing.T) {
	for name, given := range map[string]property.Map{
		"interpreter": inputs(map[string]property.Value{"interpreter": property.New("hunter2")}, nil),
		"password":    inputs(nil, map[string]property.Value{"password": property.New("hunter2")}),
		"proxy":       inputs(nil, map[string]property.Value{"proxy": property.New("hunter2")}),
		"hostKey":     inputs(nil, map[string]property.Value{"hostKey": {}}),
		"logging":     inputs(map[string]property.Value{"logging": property.New("hunter2")}, nil),
	} {
		response, err := newServer(t).Check(p.CheckRequest{Urn: urn, Inputs: given})
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s was not refused by name: %v", name, err)
		} else if strings.Contains(err.Error(), "hunter2") || len(response.Failures) > 0 {
			t.Errorf("%s: the error shows a value, or the engine would: %v", name, err)
		}
	}
}

func TestCheckFillsInTheOriginalsDefaultsAndKeepsTheConnectionSecret(t *testing.T) {
	given := inputs(nil, nil)
	given = given.Set("connection", given.Get("connection").WithSecret(false))
	response, err := newServer(t).Check(p.CheckRequest{Urn: urn, Inputs: given})
	if err != nil {
		t.Fatal(err)
	}
	connection := response.Inputs.Get("connection")
	if !connection.Secret() {
		t.Error("the connection is not secret")
	}
	for name, number := range map[string]float64{"port": 22, "dialErrorLimit": 10, "perDialTimeout": 15} {
		if connection.AsMap().Get(name).AsNumber() != number {
			t.Errorf("%s is %v", name, connection.AsMap().Get(name))
		}
	}
	if connection.AsMap().Get("user").AsString() != "root" || !response.Inputs.Get("addPreviousOutputInEnv").AsBool() {
		t.Errorf("defaults are missing: %v", response.Inputs)
	}
}

func TestAChangedTriggerUpdatesInPlaceOnlyWhereThereIsAnUpdateCommand(t *testing.T) {
	for path, update := range map[string]property.Value{"triggers": property.New("true"), "triggers[0]": {}} {
		given := func(trigger string) property.Map {
			triggers := property.New([]property.Value{property.New(trigger)})
			return inputs(map[string]property.Value{"triggers": triggers, "update": update}, nil)
		}
		response, err := newServer(t).Diff(p.DiffRequest{Urn: urn, OldInputs: given("1"), State: given("1"), Inputs: given("2")})
		if err != nil {
			t.Fatal(err)
		}
		if _, found := response.DetailedDiff[path]; !found || len(response.DetailedDiff) != 1 {
			t.Errorf("expected a change of %s alone: %v", path, response.DetailedDiff)
		}
	}
}

func TestPreviewRunsNothingAndLeavesTheOutputsUnknown(t *testing.T) {
	response, err := newServer(t).Create(p.CreateRequest{Urn: urn, Properties: inputs(nil, nil), DryRun: true})
	if err != nil {
		t.Fatal(err)
	}
	if !response.Properties.Get("stdout").IsComputed() || !response.Properties.Get("stderr").IsComputed() {
		t.Errorf("the outputs are known: %v", response.Properties)
	}
}

func TestDiallingGivesUpOneTryAfterTheLimit(t *testing.T) {
	dials := 0
	_, err := dialWithRetry(newContext(t), 2, func() (*ssh.Client, error) {
		dials++
		return nil, errors.New("refused")
	})
	if dials != 3 || err == nil || !strings.Contains(err.Error(), "after 3 failed attempts: refused") {
		t.Errorf("%d dials, %v", dials, err)
	}
}

func TestACommandGetsItsStandardInputAndKeepsItsOutput(t *testing.T) {
	script, stdin := "cat", "from stdin\n"
	outputs := CommandOutputs{CommandInputs: CommandInputs{Connection: serve(t), Stdin: &stdin}}
	if err := outputs.run(newContext(t), &script); err != nil {
		t.Fatal(err)
	}
	if outputs.Stdout != "from stdin" || outputs.Stderr != "a warning" {
		t.Errorf("%q, %q", outputs.Stdout, outputs.Stderr)
	}
}

func TestAFailureShowsWhatTheCommandSaidAndNotItsStandardInput(t *testing.T) {
	script, stdin := "fail", "hunter2"
	outputs := CommandOutputs{CommandInputs: CommandInputs{Connection: serve(t), Stdin: &stdin}}
	err := outputs.run(newContext(t), &script)
	if err == nil || !strings.Contains(err.Error(), "a warning") || strings.Contains(err.Error(), "hunter2") {
		t.Error(err)
	}
}

func TestAnotherHostKeyThanThePinnedOneIsRefused(t *testing.T) {
	connection, script := serve(t), "cat"
	other := serve(t)
	connection.HostKey = other.HostKey
	outputs := CommandOutputs{CommandInputs: CommandInputs{Connection: connection}}
	if err := outputs.run(newContext(t), &script); err == nil || !strings.Contains(err.Error(), "host key mismatch") {
		t.Error(err)
	}
}

// newContext is a context with the logger that a provider's methods find in theirs.
func newContext(t *testing.T) context.Context {
	t.Helper()
	var inner context.Context
	provider := p.Provider{Configure: func(ctx context.Context, _ p.ConfigureRequest) error {
		inner = ctx
		return nil
	}}
	server, err := integration.NewServer(
		t.Context(), "command", semver.MustParse("1.2.1"), integration.WithProvider(provider),
	)
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Configure(p.ConfigureRequest{}); err != nil {
		t.Fatal(err)
	}
	return context.WithoutCancel(inner)
}

// serve answers SSH on a port of its own: it copies standard input to the output, says "a warning" on the other
// stream, and exits with 3 when the command is `fail`.
func serve(t *testing.T) Connection {
	t.Helper()
	hostKey, _ := newKey(t)
	userKey, userPEM := newKey(t)
	config := &ssh.ServerConfig{PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		if string(key.Marshal()) != string(userKey.PublicKey().Marshal()) {
			return nil, errors.New("not that user")
		}
		return nil, nil
	}}
	config.AddHostKey(hostKey)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			go answer(connection, config)
		}
	}()
	pinned, user, limit, timeout := string(ssh.MarshalAuthorizedKey(hostKey.PublicKey())), "root", 0, 15
	port := float64(listener.Addr().(*net.TCPAddr).Port)
	return Connection{
		Host: "127.0.0.1", Port: &port, User: &user, HostKey: &pinned, PrivateKey: &userPEM,
		DialErrorLimit: &limit, PerDialTimeout: &timeout,
	}
}

func answer(connection net.Conn, config *ssh.ServerConfig) {
	_, channels, requests, err := ssh.NewServerConn(connection, config)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	for offered := range channels {
		channel, asked, err := offered.Accept()
		if err != nil {
			return
		}
		for request := range asked {
			if request.Type != "exec" {
				request.Reply(false, nil)
				continue
			}
			request.Reply(true, nil)
			input, _ := io.ReadAll(channel)
			status := uint32(0)
			if strings.HasSuffix(string(request.Payload), "fail") {
				status = 3
			} else {
				channel.Write(input)
			}
			fmt.Fprintln(channel.Stderr(), "a warning")
			channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{status}))
			channel.Close()
		}
	}
}

func newKey(t *testing.T) (ssh.Signer, string) {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(key, "")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return signer, string(pem.EncodeToMemory(block))
}
