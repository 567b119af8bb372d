// Chat streams one answer over gRPC, with a deadline, retries and the details of errors.
//
//	chat [-deadline SECONDS] [-stop-after PIECES] MODEL TEXT
//
// DUOGATE is the address (127.0.0.1:50051), DUOGATE_KEY the key. Ctrl-C cancels.
package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"

	pb "duogate.example/chat/gen/duogate/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// Only UNAVAILABLE is safe to retry. The gateway says when, or that a retry is useless, in
// `grpc-retry-pushback-ms`, which gRPC obeys by itself.
const serviceConfig = `{"methodConfig": [{
	"name": [{"service": "duogate.v1.ChatService"}],
	"retryPolicy": {"maxAttempts": 4, "initialBackoff": "0.5s", "maxBackoff": "5s", "backoffMultiplier": 2,
		"retryableStatusCodes": ["UNAVAILABLE"]}
}]}`

// explain prints a failure with its details.
func explain(err error) {
	failure := status.Convert(err)
	fmt.Fprintf(os.Stderr, "%s: %s\n", failure.Code(), failure.Message())
	for _, detail := range failure.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			fmt.Fprintf(os.Stderr, "  reason: %s\n", detail.Reason)
		case *errdetails.RetryInfo:
			fmt.Fprintf(os.Stderr, "  retry after: %.3f s\n", detail.RetryDelay.AsDuration().Seconds())
		case *errdetails.BadRequest:
			for _, violation := range detail.FieldViolations {
				fmt.Fprintf(os.Stderr, "  field %s: %s\n", violation.Field, violation.Description)
			}
		case *errdetails.RequestInfo:
			fmt.Fprintf(os.Stderr, "  request: %s\n", detail.RequestId)
		}
	}
}

// run returns io.EOF at the end of a complete answer.
func run(model, text string, deadline time.Duration, stopAfter int) error {
	connection, err := grpc.NewClient(cmp.Or(os.Getenv("DUOGATE"), "127.0.0.1:50051"),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultServiceConfig(serviceConfig),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(20<<20)))
	if err != nil {
		return err
	}
	defer connection.Close()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	key := cmp.Or(os.Getenv("DUOGATE_KEY"), "sk-duogate-demo")
	ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+key)
	content := []*pb.ContentPart{{Part: &pb.ContentPart_Text{Text: text}}}
	stream, err := pb.NewChatServiceClient(connection).StreamChatCompletion(ctx, &pb.CreateChatCompletionRequest{
		Model: model, Messages: []*pb.ChatMessage{{Role: pb.Role_ROLE_USER, Content: content}},
	})
	for pieces := 0; err == nil; {
		var event *pb.StreamChatCompletionResponse
		event, err = stream.Recv()
		if event.GetContent() != nil {
			fmt.Print(event.GetContent().Text)
			if pieces++; pieces == stopAfter {
				cancel()
			}
		} else if event.GetFinished() != nil {
			fmt.Println() // without this event the answer is incomplete
		}
	}
	return err
}

func main() {
	seconds := flag.Float64("deadline", 60, "seconds for the whole chat, retries included")
	stopAfter := flag.Int("stop-after", 0, "cancel after so many pieces of the answer")
	flag.Parse()
	deadline := time.Duration(*seconds * float64(time.Second))
	if err := run(flag.Arg(0), flag.Arg(1), deadline, *stopAfter); err != io.EOF {
		explain(err)
		os.Exit(1)
	}
}
