package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	p "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi-go-provider/infer"
	"github.com/pulumi/pulumi/sdk/v3/go/common/util/retry"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// Connection says how to reach a host; perDialTimeout is in seconds, a dialErrorLimit of -1 means no limit.
type Connection struct {
	Host            string   `pulumi:"host"`
	HostKey         *string  `pulumi:"hostKey,optional"`
	User            *string  `pulumi:"user,optional"`
	Port            *float64 `pulumi:"port,optional"`
	PrivateKey      *string  `pulumi:"privateKey,optional"`
	AgentSocketPath *string  `pulumi:"agentSocketPath,optional"`
	DialErrorLimit  *int     `pulumi:"dialErrorLimit,optional"`
	PerDialTimeout  *int     `pulumi:"perDialTimeout,optional"`
}

func (c *Connection) Annotate(a infer.Annotator) {
	a.SetDefault(&c.User, "root")
	a.SetDefault(&c.Port, 22)
	a.SetDefault(&c.DialErrorLimit, 10)
	a.SetDefault(&c.PerDialTimeout, 15)
}

func (c *Connection) clientConfig() (*ssh.ClientConfig, error) {
	hostKey, _, _, _, err := ssh.ParseAuthorizedKey([]byte(*c.HostKey))
	if err != nil {
		return nil, fmt.Errorf("connection.hostKey is no line of authorized_keys: %w", err)
	}
	config := &ssh.ClientConfig{
		User:            *c.User,
		HostKeyCallback: ssh.FixedHostKey(hostKey),
		Timeout:         time.Duration(*c.PerDialTimeout) * time.Second,
	}
	if c.PrivateKey != nil {
		signer, err := ssh.ParsePrivateKey([]byte(*c.PrivateKey))
		if err != nil {
			return nil, fmt.Errorf("connection.privateKey: %w", err)
		}
		config.Auth = append(config.Auth, ssh.PublicKeys(signer))
	}
	socket := os.Getenv("SSH_AUTH_SOCK")
	if c.AgentSocketPath != nil {
		socket = *c.AgentSocketPath
	}
	if socket != "" {
		connection, err := net.Dial("unix", socket)
		if err != nil {
			return nil, fmt.Errorf("the SSH agent does not answer: %w", err)
		}
		config.Auth = append(config.Auth, ssh.PublicKeysCallback(agent.NewClient(connection).Signers))
	}
	return config, nil
}

func (c *Connection) dial(ctx context.Context) (*ssh.Client, error) {
	config, err := c.clientConfig()
	if err != nil {
		return nil, err
	}
	address := net.JoinHostPort(c.Host, strconv.Itoa(int(*c.Port)))
	return dialWithRetry(ctx, *c.DialErrorLimit, func() (*ssh.Client, error) {
		return ssh.Dial("tcp", address, config)
	})
}

// dialWithRetry dials once more than the limit, after 100 ms, then after 1.5 times as long each time, at most 5 s.
func dialWithRetry(ctx context.Context, limit int, dial func() (*ssh.Client, error)) (*ssh.Client, error) {
	accepted, client, err := retry.Until(ctx, retry.Acceptor{
		Accept: func(try int, _ time.Duration) (bool, any, error) {
			client, err := dial()
			if err == nil {
				return true, client, nil
			}
			if limit >= 0 && try >= limit {
				return false, nil, fmt.Errorf("after %d failed attempts: %w", try+1, err)
			}
			p.GetLogger(ctx).InfoStatusf("Dial %d failed, trying again: %s", try+1, err)
			return false, nil, nil
		},
	})
	if err != nil {
		return nil, err
	}
	if !accepted {
		return nil, ctx.Err()
	}
	return client.(*ssh.Client), nil
}

// run executes a script, if there is one, and keeps its output without the last line's end.
func (o *CommandOutputs) run(ctx context.Context, script *string) error {
	if script == nil {
		return nil
	}
	client, err := o.Connection.dial(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	session, err := client.NewSession()
	if err != nil {
		return err
	}
	defer session.Close()
	if err := o.setEnvironment(ctx, session); err != nil {
		return err
	}
	if o.Stdin != nil {
		session.Stdin = strings.NewReader(*o.Stdin)
	}

	var stdout, stderr bytes.Buffer
	var both transcript
	lines, log := io.Pipe()
	logged := make(chan struct{})
	go func() {
		defer close(logged)
		logLines(ctx, lines)
	}()
	session.Stdout = io.MultiWriter(&stdout, &both, o.logged("stdout", log))
	session.Stderr = io.MultiWriter(&stderr, &both, o.logged("stderr", log))
	err = session.Run(*script)
	log.Close()
	<-logged
	if err != nil {
		return fmt.Errorf("%w: running %q:\n%s", err, *script, both.String())
	}
	o.Stdout = strings.TrimSuffix(stdout.String(), "\n")
	o.Stderr = strings.TrimSuffix(stderr.String(), "\n")
	return nil
}

func (o *CommandOutputs) setEnvironment(ctx context.Context, session *ssh.Session) error {
	const remedy = "the SSH server must accept it by AcceptEnv"
	for name, value := range o.Environment {
		if err := session.Setenv(name, value); err != nil {
			return fmt.Errorf("environment variable %q, %s: %w", name, remedy, err)
		}
	}
	if o.AddPreviousOutputInEnv != nil && !*o.AddPreviousOutputInEnv {
		return nil
	}
	previous := map[string]string{"PULUMI_COMMAND_STDOUT": o.Stdout, "PULUMI_COMMAND_STDERR": o.Stderr}
	for name, value := range previous {
		if value == "" {
			continue
		}
		if err := session.Setenv(name, value); err != nil {
			p.GetLogger(ctx).Warningf("%s was not passed on; %s: %s", name, remedy, err)
		}
	}
	return nil
}

// logged is the log if the resource wants that stream in it.
func (o *CommandOutputs) logged(stream string, log io.Writer) io.Writer {
	if o.Logging == nil || *o.Logging == stream || *o.Logging == "stdoutAndStderr" {
		return log
	}
	return io.Discard
}

func logLines(ctx context.Context, output io.Reader) {
	reader := bufio.NewReader(output)
	for {
		line, err := reader.ReadString('\n')
		if line != "" {
			p.GetLogger(ctx).Info(line)
		}
		if err != nil {
			return
		}
	}
}

// transcript keeps both streams of a command in the order in which they came.
type transcript struct {
	mutex  sync.Mutex
	buffer bytes.Buffer
}

func (t *transcript) Write(chunk []byte) (int, error) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	return t.buffer.Write(chunk)
}

func (t *transcript) String() string { return t.buffer.String() }
